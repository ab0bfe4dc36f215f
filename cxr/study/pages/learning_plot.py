"""The learning curve of real pictures, and where arms with synthetic ones stand on it."""

from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr.study.learning_results import LearningCurve, Worth
from cxr.study.pages.plot_style import BLACK, BLUE, GRAY, GREEN, ORANGE, RED, SKY, png
from cxr.study.results import Study

STYLES = ((BLUE, "o"), (RED, "D"), (GREEN, "^"), (ORANGE, "v"), (SKY, "P"))


def learning_curve(study: Study) -> bytes:
    curve = study.learning
    assert curve is not None
    labels = {arm.arm: arm.label for arm in study.arms}

    def paint(figure: Figure) -> None:
        axis = figure.subplots()
        draw_curve(axis, curve)
        for one, (colour, marker) in zip(curve.readings, cycle(STYLES), strict=False):
            draw_reading(axis, curve, one, labels.get(one.arm, one.arm), colour, marker)
        axis.set_xscale("log")
        axis.set_xticks(curve.sizes, [f"{size:,}" for size in curve.sizes])
        axis.minorticks_off()
        axis.set(xlabel="real pictures, or as many as an arm is worth", ylabel="AUROC on the test set")
        figure.legend(loc="outside lower left", ncols=1)

    return png(study, "Learning curve", 5.2 + 0.28 * len(curve.readings), paint)


def draw_curve(axis: Axes, curve: LearningCurve) -> None:
    size, auroc, low, high = np.transpose(curve.band)
    measured = (size >= curve.sizes[0]) & (size <= curve.sizes[-1])
    axis.fill_between(size, low, high, color=GRAY, alpha=0.25, linewidth=0)
    axis.plot(size, auroc, "--", color=GRAY, linewidth=1.5)
    axis.plot(size[measured], auroc[measured], color=BLACK, linewidth=2)
    axis.plot(curve.sizes, curve.aurocs, "s", color=BLACK, markersize=7, label="real pictures alone")


def draw_reading(axis: Axes, curve: LearningCurve, one: Worth, label: str, colour: str, marker: str) -> None:
    axis.plot([one.equivalent_low, one.equivalent_high], [one.auroc] * 2, color=colour, linewidth=1.8)
    for end in (one.equivalent_low, one.equivalent_high):
        sign = {1: ">", -1: "<", 0: "|"}[curve.beyond(end)]
        axis.plot(end, one.auroc, sign, color=colour, markersize=9)
    axis.plot(one.equivalent, one.auroc, marker, color=colour, markersize=9, markeredgecolor="white", label=label)
