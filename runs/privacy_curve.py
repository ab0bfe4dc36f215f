"""What a promise costs and what it stops: `python runs/privacy_curve.py OUT`, after runs/audit_nih.sh.

Reads OUT/epsilon-*/model and OUT/epsilon-*/audit; prints a table, and draws it as OUT/privacy_curve.png.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cxr.report.pages import markdown_table
from cxr.report.plots import COLOURS, png

HEAD = [
    "epsilon", "noise (sigma)", "validation error", "kernel distance", "AUC of membership", "canaries guessed rightly",
    "epsilon at least",
]  # fmt: skip
MEMBERSHIP, CANARIES = "membership inference on the model, by error against the base's", "canaries: "


@dataclass(frozen=True)
class Point:
    """A LoRA, and what attacks got out of it."""

    epsilon: float  # promised; infinite: nothing is
    sigma: float
    quality: dict[str, float]  # of validation patients' images
    base: dict[str, float]  # the base's
    membership: dict[str, float]
    canaries: dict[str, float]


def main(place: Path) -> None:
    points = sorted((read_point(one) for one in place.glob("epsilon-*")), key=lambda point: point.epsilon)
    print(markdown_table(HEAD, [describe(point) for point in points]))
    print(f"of the base: error {points[0].base['mse']:.3f}, kernel distance {points[0].base['kid']:.1f}")
    (place / "privacy_curve.png").write_bytes(draw(points))


def read_point(place: Path) -> Point:
    metrics: dict[str, Any] = json.loads((place / "model" / "record.json").read_text())["metrics"]
    tests: list[dict[str, Any]] = json.loads((place / "audit" / "audit.json").read_text())["tests"]
    promise = metrics.get("privacy", {"epsilon": math.inf, "sigma": 0.0})
    membership, canaries = (
        next(test["metrics"] for test in tests if test["name"].startswith(name)) for name in (MEMBERSHIP, CANARIES)
    )
    return Point(promise["epsilon"], promise["sigma"], metrics["validation"], metrics["base"], membership, canaries)


def name(point: Point) -> str:
    return "none" if math.isinf(point.epsilon) else f"{point.epsilon:.2g}"


def describe(point: Point) -> list[str]:
    auc, right = point.membership, point.canaries
    return [
        name(point), f"{point.sigma:.2g}", f"{point.quality['mse']:.3f}", f"{point.quality['kid']:.1f}",
        f"{auc['auc']:.3f} ({auc['auc_low']:.3f} to {auc['auc_high']:.3f})",
        f"{right['right']} of {right['guesses']}, p = {right['p']:.2g}", f"{right['epsilon']:.2f}",
    ]  # fmt: skip


def draw(points: list[Point]) -> bytes:
    """A PNG: quality above, attacks below, from the strictest promise to none."""
    figure = Figure(figsize=(6, 6.4), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    places = range(len(points))
    above.plot(places, [point.quality["mse"] for point in points], "o-", color=COLOURS[0])
    base = points[0].base["mse"]
    above.axhline(base, color="gray", linestyle=":")
    above.annotate("of the base", (len(points) - 1, base), (0, -14), textcoords="offset points", ha="right")
    above.set(ylabel="error on validation patients", title="Quality", ylim=(0, 1.1 * base))
    found = [point.membership for point in points]
    spread = [[one["auc"] - one["auc_low"] for one in found], [one["auc_high"] - one["auc"] for one in found]]
    below.errorbar(places, [one["auc"] for one in found], yerr=spread, fmt="o-", capsize=3, color=COLOURS[5],
                   label="AUC of membership, 95 % interval")  # fmt: skip
    right = [point.canaries["right"] / point.canaries["guesses"] for point in points]
    below.plot(places, right, "s--", color=COLOURS[2], label="canaries guessed rightly")
    below.axhline(0.5, color="gray", linestyle=":")
    below.set(ylim=(0.2, 1.02), ylabel="share right", title="Attack (0.5: by chance)", xlabel="epsilon promised")
    below.set_xticks(list(places), [name(point) for point in points])
    below.legend(loc="upper left", fontsize=9)
    return png(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
