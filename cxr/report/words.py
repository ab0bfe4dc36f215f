"""How figures are called and written, on every page alike."""

import numpy as np

FRECHET = "frechet_distance"
CALLED = {  # what the field calls a figure with Inception's features; with another's it is only what it is
    FRECHET: "FID", "kernel_distance": "KID", "inception_score": "Inception Score",
}  # fmt: skip


def title(extractor: str, figure: str) -> str:
    """What a figure may be called: a distance in the features of another network than Inception is no FID."""
    plain = figure.replace("_", " ").replace("frechet", "Fréchet")
    if figure not in CALLED:
        return plain
    return CALLED[figure] if extractor == "inception" else f"{plain} ({extractor})"


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
