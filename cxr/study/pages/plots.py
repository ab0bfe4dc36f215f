"""A study in pictures: PNGs for the page and for a poster."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import cycle

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cxr.report.plots import confusion_matrix
from cxr.study.pages.learning_plot import learning_curve
from cxr.study.pages.plot_style import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    KINDS,
    LINE,
    ORANGE,
    RED,
    SKY,
    error,
    kind,
    legend_of_kinds,
    measured,
    panels,
    png,
    reach_of,
    rows_named,
    wrapped,
)
from cxr.study.pages.rows import is_informative, marks, pairs
from cxr.study.results import MAIN, ArmResult, Difference, Spread, Study, ValidationPoint

BAND = "#dfe3e6"
MARKS = {  # how it is drawn in a legend, and what it stands for
    "*": ("$*$", "p < 0.05 after Holm"),
    "**": ("$**$", "p < 0.01 after Holm"),
    "†": (r"$\dagger$", "p < 0.05 after Holm, better"),
}
DOSES = ((BLACK, "o-"), (BLUE, "^--"), (GREEN, "D:"), (RED, "s-."), (ORANGE, "v--"), (SKY, "P:"))  # one after another


def draw(study: Study) -> dict[str, bytes]:
    """Every figure of the study, by file name; those that would be empty are left out."""
    wanted = {
        "accuracy.png": accuracy,
        "differences.png": differences,
        "roc.png": roc,
        "training.png": training,
        "dose.png": dose,
        "confusion.png": confusion,
    }
    if study.learning:
        wanted["learning.png"] = learning_curve
    if any(arm.selection_bias for arm in study.arms):
        wanted["optimism.png"] = selection_bias
    if study.several:
        del wanted["accuracy.png"], wanted["confusion.png"]
    if not any(pairs(study)):
        del wanted["differences.png"]
    return {name: figure(study) for name, figure in wanted.items()}


def accuracy(study: Study) -> bytes:
    """Bars with 95 % intervals; the baseline's mean goes on as a line."""
    arms = measured(study)

    def paint(figure: Figure) -> None:
        axis = figure.subplots()
        bars(axis, study, arms, [arm.metrics["accuracy"] for arm in arms])
        for row, arm in enumerate(arms):
            mean = arm.metrics["accuracy"].mean
            axis.text(1.03, row, f"{mean:.3f}{marks(study, arm, 'accuracy')}", va="center")
            if arm.arm == study.baseline:
                axis.axvline(mean, color=BLACK, linestyle="--", linewidth=1.2)
        axis.set(xlim=(0, 1.22), xticks=np.linspace(0, 1, 6))
        axis.spines.bottom.set_bounds(0, 1)
        legend_of_kinds(figure, study, arms)

    return png(study, "Accuracy on the test set", 1.6 + LINE * len(arms), paint)


def bars(axis: Axes, study: Study, arms: Sequence[ArmResult], spreads: Sequence[Spread]) -> None:
    """An arm a bar, from top to bottom."""
    for row, (arm, found) in enumerate(zip(arms, spreads, strict=True)):
        colour, hatch, _ = KINDS[kind(study, arm)]
        axis.barh(row, found.mean, color=colour, hatch=hatch, edgecolor="white", alpha=0.85)
        if is_informative(found):
            error(axis, found, row, color=BLACK)
    rows_named(axis, [arm.label for arm in arms])


def differences(study: Study) -> bytes:
    """A forest plot: each arm's difference in AUROC from the baseline, and below it from its control."""
    found = list(pairs(study))
    split = sum(d.against == study.baseline for _, d in found)
    blocks = [("from the baseline", found[:split]), ("from the control: as much real data alone", found[split:])]
    blocks = [(name, block) for name, block in blocks if block]

    def paint(figure: Figure) -> None:
        axes = figure.subplots(
            len(blocks), sharex=True, squeeze=False, height_ratios=[len(block) + 0.2 for _, block in blocks]
        )
        for axis, (name, block) in zip(axes[:, 0], blocks, strict=True):
            axis.set_title(name, fontsize=13)
            forest(axis, study, block)
        axes[-1, 0].set_xlabel("lower  ←  difference, 95 % interval  →  higher")
        figure.legend(handles=signs, loc="outside lower left", ncols=2)

    signs = explained(study, found)
    return png(study, "Difference in AUROC", 1.7 + LINE * len(found) + 0.4 * len(blocks) + 0.13 * len(signs), paint)


def forest(axis: Axes, study: Study, block: Sequence[tuple[ArmResult, Difference]]) -> None:
    for row, (arm, found) in enumerate(block):
        if found.detectable is not None:
            reach = min(1.0, found.detectable)  # no AUROC differs by more
            axis.barh(row, 2 * reach, left=-reach, color=BAND, height=0.8)
        colour, _, marker = KINDS[kind(study, arm)]
        error(axis, found, row, fmt=marker, color=colour, markersize=9)
        mark, end = mark_of(study, arm, found), (found.high, row)
        axis.annotate(mark, end, xytext=(7, 0), textcoords="offset points", va="center", fontsize=16)
    axis.axvline(0, color=BLACK, linewidth=1.2)
    axis.use_sticky_edges = False  # else no margin beside a band
    axis.margins(x=0.08)
    rows_named(axis, [arm.label for arm, _ in block])


def mark_of(study: Study, arm: ArmResult, found: Difference) -> str:
    """Of one of the arm's two differences."""
    mark = marks(study, arm)
    return mark.rstrip("†") if found.against == study.baseline else mark.lstrip("*")


def explained(study: Study, found: Sequence[tuple[ArmResult, Difference]]) -> list[Artist]:
    """A legend of the band, the markers and the marks that are there."""
    kinds, marked = {kind(study, arm) for arm, _ in found}, {mark_of(study, arm, d) for arm, d in found}
    signs: list[Artist] = [
        Line2D([], [], color=colour, marker=marker, markersize=9, label=name)
        for name, (colour, _, marker) in KINDS.items() if name in kinds
    ]  # fmt: skip
    if any(d.detectable is not None for _, d in found):
        signs.append(Patch(facecolor=BAND, label="too small to be found (80 % power)"))
    for mark, (drawn, meaning) in MARKS.items():
        if mark in marked:
            signs.append(Line2D([], [], linestyle="", color=BLACK, marker=drawn, markersize=9, label=meaning))
    return signs


def roc(study: Study) -> bytes:
    """Receiver operating characteristics, mean over seeds, an arm a panel with all others behind it in gray."""
    over = "findings" if study.several else "classes" if len(study.classes) > 2 else ""

    def panel(axis: Axes, arm: ArmResult) -> None:
        for other in measured(study):
            axis.plot(*np.transpose(other.roc), color="#c9cfd4", linewidth=0.8)
        axis.plot(*np.transpose(arm.roc), color=KINDS[kind(study, arm)][0], linewidth=2.5)
        axis.text(0.97, 0.06, f"AUROC\n{arm.metrics[MAIN].mean:.3f}", ha="right", transform=axis.transAxes)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")

    return panels(
        study, "ROC curves" + (f", mean over {over}" if over else ""), panel,
        "false positive rate", "true positive rate",
    )  # fmt: skip


def training(study: Study) -> bytes:
    """Validation AUROC against steps: thin lines are seeds, the thick one their mean, dots the chosen epochs."""

    def panel(axis: Axes, arm: ArmResult) -> None:
        colour = KINDS[kind(study, arm)][0]
        for seed, curve in arm.curves.items():
            axis.plot([p.step for p in curve], [p.auroc for p in curve], color=GRAY, linewidth=0.9)
            chosen = curve[arm.best[seed]]
            axis.plot(chosen.step, chosen.auroc, "o", color=colour, markersize=6, markeredgecolor="white", zorder=3)
        axis.plot(*mean_curve(list(arm.curves.values())), color=colour, linewidth=2.2)

    return panels(study, "Validation AUROC while training", panel, "step", "AUROC of the validation part")


def mean_curve(curves: Sequence[Sequence[ValidationPoint]]) -> tuple[list[int], list[float]]:
    """The steps at which every curve was measured, and their mean AUROC there."""
    at = defaultdict(list)
    for point in (point for curve in curves for point in curve):
        at[point.step].append(point.auroc)
    whole = {step: values for step, values in sorted(at.items()) if len(values) == len(curves)}
    return list(whole), [float(np.mean(values)) for values in whole.values()]


def dose(study: Study) -> bytes:
    """AUROC against the number of synthetic pictures and against time; arms of as much real data are joined."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots(2, sharey=True)
        devices = sorted({arm.device for arm in measured(study)})
        hours = max(arm.hours for arm in measured(study))
        unit, times = ("hours", 1) if hours > 2 else ("minutes", 60) if hours > 0.03 else ("seconds", 3600)
        doses(axes[0], study, lambda arm: arm.synthetic, joined=True)
        doses(axes[1], study, lambda arm: arm.hours * times, joined=False)
        axes[0].set_xlabel("synthetic pictures in training\n(open: the same mix, twice or in another order)")
        axes[1].locator_params(axis="x", nbins=5)
        axes[1].set_xlabel(f"{unit} of training, all seeds, on {', '.join(devices)}")
        for axis in axes:
            axis.set_ylabel("AUROC")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)

    return png(study, "AUROC against synthetic pictures and time", 9, paint)


def doses(axis: Axes, study: Study, amount: Callable[[ArmResult], float], joined: bool) -> None:
    """Arms of as much real data have a colour and marker; of the same mix only the first is on their line."""
    series: dict[int, list[ArmResult]] = defaultdict(list)
    for arm in measured(study):
        series[arm.real].append(arm)
    most = max(map(amount, measured(study)))
    for real, (colour, style) in zip(sorted(series, reverse=True), cycle(DOSES), strict=False):
        first = {arm.synthetic: arm for arm in reversed(series[real])}
        line = sorted(first.values(), key=amount)
        others = [arm for arm in series[real] if arm is not first[arm.synthetic]]
        label = f"{real:,} real pictures" if real else "no real pictures"
        places = [amount(arm) for arm in line], [amount(arm) + joined * 0.02 * most for arm in others]
        points(axis, places[0], line, style if joined else style[0], color=colour, label=label)
        points(axis, places[1], others, style[0], color=colour, markerfacecolor="white")


def points(
    axis: Axes,
    places: Sequence[float],
    arms: Sequence[ArmResult],
    style: str,
    color: str,
    label: str | None = None,
    markerfacecolor: str | None = None,
) -> None:
    found = [arm.metrics[MAIN] for arm in arms]
    reaches = [reach_of(one) or (np.nan, np.nan) for one in found]
    axis.errorbar(
        places, [spread.mean for spread in found],
        yerr=[[below for below, _ in reaches], [above for _, above in reaches]],
        fmt=style, capsize=4, markersize=8, color=color, label=label, markerfacecolor=markerfacecolor,
    )  # fmt: skip


def confusion(study: Study) -> bytes:
    """The baseline's table and that of the arm with the highest AUROC: counts, shaded by share of the true class."""
    arms = [arm for arm in measured(study) if arm.arm == study.baseline]
    others = [arm for arm in measured(study) if arm.arm != study.baseline]
    arms += sorted(others, key=lambda arm: -arm.metrics[MAIN].mean)[:1]
    few = len(study.classes) <= 4

    def paint(figure: Figure) -> None:
        axes = figure.subplots(*((1, len(arms)) if few else (len(arms), 1)), squeeze=False, sharey=few)
        for axis, arm in zip(axes.flat, arms, strict=True):
            confusion_matrix(axis, study.classes, np.array(arm.confusion))
            axis.set_title(wrapped(arm.label), fontsize=13)
        figure.supxlabel("named by the classifier (test pictures, all seeds)", fontsize=13)
        figure.supylabel("true", fontsize=13)

    return png(study, "Confusion", 4.4 if few else 1 + 5.2 * len(arms), paint)


def selection_bias(study: Study) -> bytes:
    """What choosing the epoch on the test set would have added to each arm."""
    arms = [arm for arm in study.arms if arm.selection_bias]

    def paint(figure: Figure) -> None:
        axis = figure.subplots()
        bars(axis, study, arms, [arm.selection_bias for arm in arms if arm.selection_bias])
        axis.axvline(0, color=BLACK, linewidth=1.2)
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel("AUROC")
        legend_of_kinds(figure, study, arms)

    return png(study, "Gained by choosing on the test set", 1.9 + LINE * len(arms), paint)
