"""What a set holds and how it is split, in a table and a picture: shortcuts are seen before a result is believed."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr.data.splits import PARTS
from cxr.ingest.baselines import Baseline
from cxr.report.pages import Table, render
from cxr.report.plots import COLOURS, interval, png

UNKNOWN = "not given"


@dataclass(frozen=True)
class SplitReport:
    """A split set, by columns of one value an image, and what was found about it."""

    findings: Sequence[str]
    split: Sequence[str]
    groups: Sequence[Hashable]  # patients, joined where they share near-duplicates
    views: Sequence[str | None]
    sexes: Sequence[str | None]
    ages: Sequence[int | None]
    rejected: int
    repeated: int  # exact duplicates, dropped
    near_duplicates: int  # groups of more than one image
    baselines: Sequence[Baseline]
    warnings: Sequence[str]


def render_markdown(report: SplitReport) -> str:
    """The report as text; the picture is `split_report.png` beside it."""
    return render(
        "split_report.md", report=report, counts=tabulate_counts(report), balance=tabulate_balance(report),
        baselines=tabulate_baselines(report.baselines),
    )  # fmt: skip


def tabulate_counts(report: SplitReport) -> Table:
    """Images (patients) of each finding in each part."""
    rows = [
        [finding or "**all**", *(format_count(report, finding, part) for part in (*PARTS, None))]
        for finding in [*sorted(set(report.findings)), None]
    ]
    return ["finding", *PARTS, "all"], rows


def format_count(report: SplitReport, finding: str | None, part: str | None) -> str:
    chosen = [
        group
        for group, f, p in zip(report.groups, report.findings, report.split, strict=True)
        if finding in (None, f) and part in (None, p)
    ]
    return f"{len(chosen)} ({len(set(chosen))})"


def tabulate_balance(report: SplitReport) -> Table | None:
    """Shares of views and sexes and the median age, by finding and by part; None where none is given."""
    views, sexes = rank_values(report.views), rank_values(report.sexes)
    if not views and not sexes and not any(age is not None for age in report.ages):
        return None
    groups = [(name, np.array(report.findings) == name) for name in sorted(set(report.findings))]
    groups += [(part, np.array(report.split) == part) for part in PARTS if part in set(report.split)]
    rows = [
        [
            name,
            *(format_percent(report.views, chosen, value) for value in views),
            *(format_percent(report.sexes, chosen, value) for value in sexes),
            format_median_age(report.ages, chosen),
        ]
        for name, chosen in groups
    ]
    return ["", *(f"view {v}" for v in views), *(f"sex {s}" for s in sexes), "median age"], rows


def rank_values(values: Sequence[str | None]) -> list[str]:
    """The values that occur, the most frequent first."""
    return [value for value, _ in Counter(v for v in values if v is not None).most_common(4)]


def measure_share(values: Sequence[str | None], chosen: np.ndarray, value: str) -> float:
    """The share of `value` among the chosen that are known."""
    known = [v for v, c in zip(values, chosen, strict=True) if c and v is not None]
    return known.count(value) / len(known) if known else 0.0


def format_percent(values: Sequence[str | None], chosen: np.ndarray, value: str) -> str:
    known = any(v is not None for v, c in zip(values, chosen, strict=True) if c)
    return f"{measure_share(values, chosen, value):.0%}" if known else UNKNOWN


def format_median_age(ages: Sequence[int | None], chosen: np.ndarray) -> str:
    known = [age for age, c in zip(ages, chosen, strict=True) if c and age is not None]
    return f"{np.median(known):.0f}" if known else UNKNOWN


def tabulate_baselines(measured: Sequence[Baseline]) -> Table:
    rows = [
        [b.name, format_metric(b.accuracy, b.accuracy_interval), format_metric(b.auc, b.auc_interval)]
        for b in measured
    ]  # fmt: skip
    return ["", "accuracy", "AUC"], rows


def format_metric(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def draw_report(report: SplitReport) -> bytes:
    """The same as a PNG of five panels, 1,400 pixels wide."""
    figure = Figure(figsize=(14, 14), dpi=100, layout="constrained")
    axes = figure.subplot_mosaic([["counts", "ages"], ["views", "sexes"], ["baselines", "baselines"]])
    draw_counts(axes["counts"], report)
    draw_ages(axes["ages"], report)
    draw_shares(axes["views"], report, "view", report.views)
    draw_shares(axes["sexes"], report, "sex", report.sexes)
    draw_baselines(axes["baselines"], report.baselines)
    for axis in axes.values():
        axis.spines[["top", "right"]].set_visible(False)
    return png(figure)


def draw_counts(axis: Axes, report: SplitReport) -> None:
    pairs, names = Counter(zip(report.findings, report.split, strict=True)), sorted(set(report.findings))
    draw_stacked_bars(axis, names, {part: [pairs[name, part] for name in names] for part in PARTS})
    axis.set_title("Images of each finding", fontsize=15)


def draw_shares(axis: Axes, report: SplitReport, what: str, values: Sequence[str | None]) -> None:
    axis.set_title(f"{what.capitalize()} in each finding (share)", fontsize=15)
    different, names = rank_values(values), sorted(set(report.findings))
    if not different:
        write_not_given(axis, what)
        return
    chosen = {name: np.array(report.findings) == name for name in names}
    draw_stacked_bars(
        axis, names, {value: [measure_share(values, chosen[name], value) for name in names] for value in different}
    )
    axis.set_xlim(0, 1)


def draw_stacked_bars(axis: Axes, names: Sequence[str], parts: dict[str, list[float]]) -> None:
    """Horizontal stacked bars, one for each name, from top to bottom."""
    left = np.zeros(len(names))
    for (label, widths), colour in zip(parts.items(), COLOURS, strict=False):
        axis.barh(names, widths, left=left, label=label, color=colour)
        left += widths
    axis.invert_yaxis()
    axis.tick_params(labelsize=12)
    axis.legend(fontsize=12, ncols=len(parts), loc="upper left", bbox_to_anchor=(0, -0.06), frameon=False)


def draw_ages(axis: Axes, report: SplitReport) -> None:
    axis.set_title("Age of each finding (years)", fontsize=15)
    names = sorted(set(report.findings))
    known = {
        name: [a for a, f in zip(report.ages, report.findings, strict=True) if f == name and a is not None]
        for name in names
    }
    if not any(known.values()):
        write_not_given(axis, "age")
        return
    axis.boxplot(
        list(known.values()), orientation="horizontal", tick_labels=names, widths=0.6, patch_artist=True,
        boxprops={"facecolor": COLOURS[4]}, medianprops={"color": "black"}, flierprops={"markersize": 3},
    )  # fmt: skip
    axis.invert_yaxis()
    axis.tick_params(labelsize=12)


def draw_baselines(axis: Axes, measured: Sequence[Baseline]) -> None:
    axis.set_title("Without any knowledge of disease (test, 95 % intervals)", fontsize=15)
    shown = [
        (f"{b.name}\n{kind}", value, ends, colour)
        for b in measured
        for kind, value, ends, colour in (
            ("accuracy", b.accuracy, b.accuracy_interval, COLOURS[0]), ("AUC", b.auc, b.auc_interval, COLOURS[5])
        )
        if value is not None
    ]  # fmt: skip
    for row, (_, value, ends, colour) in enumerate(shown):
        interval(axis, row, value, *(ends or (value, value)), fmt="o", color=colour, capsize=5, markersize=9)
        axis.annotate(
            f"{value:.2f}", (value, row), xytext=(0, 10), textcoords="offset points", ha="center", fontsize=12
        )
    axis.axvline(0.5, color="gray", linestyle=":", label="AUC of chance")
    axis.set_yticks(range(len(shown)), [name for name, *_ in shown])
    axis.set_ylim(len(shown) - 0.5, -0.7)
    axis.set_xlim(0, 1.02)
    axis.tick_params(labelsize=12)
    axis.legend(fontsize=12, loc="upper left", bbox_to_anchor=(0, -0.06), frameon=False)


def write_not_given(axis: Axes, what: str) -> None:
    axis.text(0.5, 0.5, f"{what} {UNKNOWN}", ha="center", va="center", transform=axis.transAxes, fontsize=14)
    axis.set_axis_off()
