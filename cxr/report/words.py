"""How metrics are called and numbers written, on every page alike."""

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
