"""Worth against leakage, drawn."""

from collections.abc import Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr.study.pages.learning_plot import STYLES
from cxr.study.pages.plot_style import BLACK, GRAY, Shown, png
from cxr.study.worth_leakage import Point

LOOKS = (*STYLES, (BLACK, "s"))
LEAST, MOST = -100, 150  # real pictures, that the figure reaches to at least
APART = 0.4  # percentage points between arms of one study, which have one leakage


def worth_against_leakage(shown: Shown, points: Sequence[Point]) -> bytes:
    """A colour a study; filled where its audit found a leak. An interval that goes on beyond what can be told, or
    beyond the figure, ends in an arrow."""
    studies = list(dict.fromkeys(point.study for point in points))
    looks = dict(zip(studies, cycle(LOOKS), strict=False))
    worths = [100 * point.worth.worth for point in points]
    limits = min(LEAST, *(1.5 * worth for worth in worths)), max(MOST, *(1.5 * worth for worth in worths))

    def paint(figure: Figure) -> None:
        axis = figure.subplots()
        axis.axhline(0, color=GRAY, linewidth=1.2)
        axis.axvline(0, color=GRAY, linewidth=1.2)
        for study in studies:
            own = [point for point in points if point.study == study]
            for number, point in enumerate(own):
                at = 100 * point.leakage.nearest + APART * (number - (len(own) - 1) / 2)
                draw_interval(axis, point, at, limits, looks[study][0])
                draw_point(axis, point, at, looks[study], number)
        axis.margins(x=0.2)
        axis.set(
            xlabel="nearest to a training patient, above chance (% of pictures)",
            ylabel="real pictures that\n100 synthetic ones were worth",
            ylim=limits,
        )
        figure.legend(loc="outside lower left", ncols=1)

    return png(shown, "Worth against leakage", 4.8 + 0.28 * len(studies), paint)


def draw_interval(axis: Axes, point: Point, at: float, limits: tuple[float, float], colour: str) -> None:
    one, (least, most) = point.worth, limits
    inside = 0.03 * (most - least)  # that an arrow is seen whole
    ends = [min(max(100 * end, least + inside), most - inside) for end in (one.low, one.high)]
    axis.plot([at, at], ends, color=colour, linewidth=1.8)
    for end, shown, equivalent in zip(
        (one.low, one.high), ends, (one.equivalent_low, one.equivalent_high), strict=True
    ):
        beyond = point.curve.beyond(equivalent) or (100 * end > shown) - (100 * end < shown)
        axis.plot(at, shown, {1: "^", -1: "v", 0: "_"}[beyond], color=colour, markersize=9)


def draw_point(axis: Axes, point: Point, at: float, look: tuple[str, str], number: int) -> None:
    colour, marker = look
    axis.plot(
        at, 100 * point.worth.worth, marker, markersize=9, linestyle="none", color=colour, markeredgewidth=2,
        markerfacecolor=colour if point.leaks else "white",
        label=f"{point.study}: {point.leakage.verdict}" if number == 0 else None,
    )  # fmt: skip
    side = -1 if number % 2 == 0 else 1
    axis.annotate(
        point.arm, (at, 100 * point.worth.worth), xytext=(9 * side, 3), textcoords="offset points", fontsize=11,
        ha="right" if side < 0 else "left",
    )  # fmt: skip
