"""What the figures of a study are drawn with: their look, an arm's look, and the PNG of 7 inches at 300 dpi.

An arm's kind has its own colour, hatch and marker, so that it is told apart with any colour vision and in gray.
"""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Protocol

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cxr.report import plots
from cxr.report.plots import COLOURS
from cxr.study.results import ArmResult, Difference, Spread, Study

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

WIDTH = 7.0  # inches
LINE, PANEL = 0.6, 2.05  # inches: height of an arm's row, and of a small panel
COLUMNS = 3  # of small panels
STYLE: "dict[RcKeyType, object]" = {
    "font.size": 13, "axes.titlesize": 15, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e3e6e9",
    "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 12,
}  # fmt: skip
BLUE, ORANGE, GREEN, _, SKY, RED, _, BLACK = COLOURS
GRAY = "#9aa2a9"
KINDS = {  # colour, hatch, marker
    "baseline": ("#6b747c", "..", "s"),
    "real and synthetic": (BLUE, "", "o"),
    "synthetic only": (RED, "xx", "D"),
    "real only": (ORANGE, "//", "^"),
}


def measured(study: Study) -> list[ArmResult]:
    """The arms of which at least one trial ended well."""
    return [arm for arm in study.arms if arm.seeds]


def kind(study: Study, arm: ArmResult) -> str:
    names = list(KINDS)
    if arm.arm == study.baseline:
        return names[0]
    return names[3] if not arm.synthetic else names[1] if arm.real else names[2]


def error(axis: Axes, found: Spread | Difference, row: int, **style: Any) -> None:
    """The mean with its interval, which need not be symmetric; without one where it has none."""
    if found.low is not None and found.high is not None:
        style = {"fmt": "none", "capsize": 5, "linewidth": 1.8, **style}
        plots.interval(axis, row, found.mean, found.low, found.high, **style)


def reach_of(found: Spread | Difference) -> tuple[float, float] | None:
    """How far the interval goes below and above the mean."""
    if found.low is None or found.high is None:
        return None
    return found.mean - found.low, found.high - found.mean


def rows_named(axis: Axes, titles: Sequence[str]) -> None:
    axis.set_yticks(range(len(titles)), [wrapped(title) for title in titles])
    axis.set_ylim(len(titles) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")


def wrapped(title: str) -> str:
    """On lines that are broken between a share and the next."""
    return fill(title.replace(" % ", "\u00a0%\u00a0"), 22)


def legend_of_kinds(figure: Figure, study: Study, arms: Sequence[ArmResult]) -> None:
    there = [name for name in KINDS if name in {kind(study, arm) for arm in arms}]
    boxes = [Patch(facecolor=KINDS[name][0], hatch=KINDS[name][1], edgecolor="white", label=name) for name in there]
    figure.legend(handles=boxes, loc="outside lower left", ncols=2)


def panels(study: Study, title: str, panel: Callable[[Axes, ArmResult], None], x: str, y: str) -> bytes:
    """An arm a small panel, all with the same axes."""
    arms = measured(study)
    columns = min(COLUMNS, len(arms))
    rows = -(-len(arms) // columns)

    def paint(figure: Figure) -> None:
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axis, arm in zip(axes.flat, arms, strict=False):
            panel(axis, arm)
            axis.set_title(wrapped(arm.label), fontsize=12, fontweight="normal")
        for place in range(len(arms), rows * columns):
            axes.flat[place].set_axis_off()
            axes.flat[place - columns].tick_params(labelbottom=True)
        figure.supxlabel(x, fontsize=13)
        figure.supylabel(y, fontsize=13)

    return png(study, title, 1.2 + (PANEL + 0.5) * rows, paint)


class Shown(Protocol):
    """What a figure is of."""

    @property
    def phantom(self) -> bool: ...


def png(study: Shown, title: str, height: float, paint: Callable[[Figure], None]) -> bytes:
    """A figure `WIDTH` inches wide; one of phantoms says so in its corner, in a line that is kept free for it."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        figure.suptitle("\n" * study.phantom + title, x=0.01, ha="left", fontsize=16, fontweight="bold")
        if study.phantom:
            figure.text(
                0.99, 1 - 0.06 / height, "phantoms, no patients", ha="right", va="top", color=RED, fontweight="bold"
            )
        paint(figure)
        return plots.png(figure, plots.DPI)
