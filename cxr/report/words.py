"""How metrics and places are called and numbers written, on every page alike."""

import re
from collections.abc import Sequence

import numpy as np

FRECHET = "frechet_distance"
CALLED = {  # what the field calls a metric with Inception's features; with another's it is only what it is
    FRECHET: "FID", "kernel_distance": "KID", "inception_score": "Inception Score",
}  # fmt: skip


def metric_label(extractor: str, metric: str) -> str:
    """What a metric may be called: a distance in the features of another network than Inception is no FID."""
    plain = metric.replace("_", " ").replace("frechet", "Fréchet")
    if metric not in CALLED:
        return plain
    return CALLED[metric] if extractor == "inception" else f"{plain} ({extractor})"


def number(value: float) -> str:
    """Three digits that mean something, without an exponent."""
    return np.format_float_positional(value, 3, fractional=False, trim="-")


def duration(seconds: float) -> str:
    """In the unit that a reader thinks in."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{number(seconds / 3600)} hours"


def percent(share: float, low: float, high: float) -> str:
    """A share with its interval."""
    return f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def is_digest(place: str) -> bool:
    """Whether its last word is a sha256."""
    return re.fullmatch(r"[0-9a-f]{64}", place.rpartition("/")[2]) is not None


def call_apart(uris: Sequence[str]) -> list[str]:
    """Names of places: of each as many of its last words as tell it apart from all others; two of one that is called by
    a digest, as data and models of nights are."""
    parts = [[word[:8] if is_digest(word) else word for word in uri.rstrip("/").split("/")] for uri in uris]
    names = ["/".join(words[-2 if is_digest(uri) else -1 :]) for words, uri in zip(parts, uris, strict=True)]
    for length in range(2, 1 + max(map(len, parts))):
        names = [
            name if names.count(name) == 1 else "/".join(words[-length:])
            for name, words in zip(names, parts, strict=True)
        ]
    return names
