"""What a set holds and how it is split, in tables and a picture: shortcuts are seen before a result is believed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr.data.labels import NO_FINDING, Vocabulary
from cxr.data.splits import PARTS
from cxr.ingest.baselines import RIDGE, VIEW, Baseline
from cxr.report.pages import Table, render
from cxr.report.plots import COLOURS, interval, png
from cxr.report.proportions import clustered_interval
from cxr.report.words import percent

UNKNOWN = "not given"
MAX_SHOWN = 20  # findings in the picture and beside each other in a table: the most frequent
PANEL, FINDING_HEIGHT = 14 / 3, 0.33  # inches: of a panel at least, and for each finding in it


@dataclass(frozen=True)
class SplitReport:
    """A split set, by columns of one value an image, and what was found about it."""

    vocabulary: Vocabulary
    labels: np.ndarray  # float [N, F]: 1 present, 0 absent, not a number: uncertain or unknown
    uncertain: np.ndarray  # bool [N, F]
    split: Sequence[str]
    groups: np.ndarray  # int [N]: patients, joined where they share near-duplicates
    views: Sequence[str | None]
    sexes: Sequence[str | None]
    ages: Sequence[int | None]
    rejected: int
    repeated: int  # exact duplicates, dropped
    near_duplicates: int  # groups of more than one image
    baselines: Sequence[Baseline]
    warnings: Sequence[str]

    @cached_property
    def shown(self) -> dict[str, np.ndarray]:
        """The images, bool [N], that show each finding that any shows, and those of which all findings are absent."""
        chosen = {name: self.labels[:, number] == 1 for number, name in enumerate(self.vocabulary.findings)}
        chosen[NO_FINDING] = (self.labels == 0).all(axis=1)
        return {name: rows for name, rows in chosen.items() if rows.any()}

    @cached_property
    def frequent(self) -> dict[str, np.ndarray]:
        """Of `shown`, what a picture has room for."""
        ranked = sorted(self.shown, key=lambda name: -int(self.shown[name].sum()))[:MAX_SHOWN]
        return {name: rows for name, rows in self.shown.items() if name in ranked}

    @cached_property
    def parts(self) -> dict[str, np.ndarray]:
        """The images, bool [N], of each part that has some."""
        split = np.asarray(self.split)
        return {part: split == part for part in PARTS if (split == part).any()}


def render_markdown(report: SplitReport) -> str:
    """The report as text; the picture is `split_report.png` beside it."""
    return render(
        "split_report.md", report=report, counts=tabulate_counts(report), prevalence=tabulate_prevalence(report),
        doubt=tabulate_doubt(report), together=tabulate_together(report), balance=tabulate_balance(report),
        baselines=tabulate_baselines(report), max_shown=MAX_SHOWN,
    )  # fmt: skip


def tabulate_counts(report: SplitReport) -> Table:
    """Images (patients) of each finding in each part."""
    whole = np.ones(len(report.split), bool)
    parts = [*(report.parts.get(part, ~whole) for part in PARTS), whole]
    rows = [
        [name, *(format_count(report.groups[chosen & part]) for part in parts)]
        for name, chosen in [*report.shown.items(), ("**all**", whole)]
    ]
    return ["finding", *PARTS, "all"], rows


def format_count(groups: np.ndarray) -> str:
    return f"{len(groups):,} ({len(np.unique(groups)):,})"


def tabulate_prevalence(report: SplitReport) -> Table:
    """The share of each part's images that show each finding, of those of which it is known."""
    rows = []
    for number, name in enumerate(report.vocabulary.findings):
        known = ~np.isnan(report.labels[:, number])
        cells = [format_prevalence(report, report.labels[:, number], part & known) for part in report.parts.values()]
        rows.append([name, *cells])
    return ["finding", *report.parts], rows


def format_prevalence(report: SplitReport, label: np.ndarray, chosen: np.ndarray) -> str:
    if not chosen.any():
        return UNKNOWN
    hits = label[chosen] == 1
    return percent(float(hits.mean()), *clustered_interval(hits, report.groups[chosen]))


def tabulate_doubt(report: SplitReport) -> Table | None:
    """How many images' findings are present, absent, uncertain and unknown; None where each is present or absent."""
    if not np.isnan(report.labels).any():
        return None
    rows = []
    for number, name in enumerate(report.vocabulary.findings):
        label, uncertain = report.labels[:, number], report.uncertain[:, number]
        left_out = np.isnan(label)
        counts = [(label == 1).sum(), (label == 0).sum(), uncertain.sum(), (left_out & ~uncertain).sum()]
        shares = [f"{left_out[part].mean():.0%}" for part in report.parts.values()]
        rows.append([name, *(f"{count:,}" for count in counts), *shares])
    head = ["finding", "present", "absent", "uncertain", "unknown", *(f"not known in {part}" for part in report.parts)]
    return head, rows


def tabulate_together(report: SplitReport) -> Table | None:
    """Which findings images show together; None where they exclude each other."""
    if report.vocabulary.exclusive:
        return None
    names, counts, shares = count_together(report)
    rows = []
    for row, name in enumerate(names):
        cells = [f"{share:.0%}" for share in shares[row]]
        cells[row] = f"**{counts[row, row]:,}**"
        rows.append([name, *cells])
    return ["", *names], rows


def count_together(report: SplitReport) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The names of frequent findings; how many images show both, int [F, F]; and as share of those with the row's."""
    names = [name for name in report.frequent if name != NO_FINDING]
    present = np.stack([report.shown[name] for name in names], axis=1).astype(np.float32)
    counts = (present.T @ present).round().astype(int)
    return names, counts, counts / np.maximum(np.diag(counts), 1)[:, None]


def tabulate_balance(report: SplitReport) -> Table | None:
    """Shares of views and sexes and the median age, by finding and by part; None where none is given."""
    views, sexes = rank_values(report.views), rank_values(report.sexes)
    if not views and not sexes and not any(age is not None for age in report.ages):
        return None
    rows = [
        [
            name,
            *(format_share(report.views, chosen, value) for value in views),
            *(format_share(report.sexes, chosen, value) for value in sexes),
            format_median_age(report.ages, chosen),
        ]
        for name, chosen in [*report.shown.items(), *report.parts.items()]
    ]
    return ["", *(f"view {v}" for v in views), *(f"sex {s}" for s in sexes), "median age"], rows


def rank_values(values: Sequence[str | None]) -> list[str]:
    """The values that occur, the most frequent first."""
    return [value for value, _ in Counter(v for v in values if v is not None).most_common(4)]


def measure_share(values: Sequence[str | None], chosen: np.ndarray, value: str) -> float | None:
    """The share of `value` among the chosen that are known; None where none is."""
    counts = Counter(values[row] for row in np.flatnonzero(chosen).tolist())
    known = counts.total() - counts[None]
    return counts[value] / known if known else None


def format_share(values: Sequence[str | None], chosen: np.ndarray, value: str) -> str:
    share = measure_share(values, chosen, value)
    return UNKNOWN if share is None else f"{share:.0%}"


def known_ages(ages: Sequence[int | None], chosen: np.ndarray) -> list[int]:
    return [age for row in np.flatnonzero(chosen).tolist() if (age := ages[row]) is not None]


def format_median_age(ages: Sequence[int | None], chosen: np.ndarray) -> str:
    known = known_ages(ages, chosen)
    return f"{np.median(known):.0f}" if known else UNKNOWN


def tabulate_baselines(report: SplitReport) -> Table:
    """Of all findings; where they do not exclude each other, AUC of each."""
    if report.vocabulary.exclusive:
        rows = [
            [b.name, format_metric(b.accuracy, b.accuracy_interval), format_metric(b.auc, b.auc_interval)]
            for b in report.baselines
            if b.accuracy is not None or b.auc is not None
        ]
        return ["", "accuracy", "AUC"], rows
    measured = {(b.name, b.finding): format_metric(b.auc, b.auc_interval) for b in report.baselines}
    findings = [name for name in report.shown if name != NO_FINDING]
    rows = [
        [finding or "**mean**", *(measured.get((name, finding), "-") for name in (VIEW, RIDGE))]
        for finding in (*findings, None)
    ]
    return ["AUC of", VIEW, RIDGE], rows


def format_metric(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


# --- the picture ---


def draw_report(report: SplitReport) -> bytes:
    """The same as a PNG of up to six panels, 1,400 pixels wide; what the source does not tell has none."""
    exclusive = report.vocabulary.exclusive
    height = PANEL if exclusive else max(PANEL, FINDING_HEIGHT * len(report.frequent) + 1.5)
    last = "baselines" if exclusive else "together"
    optional = {
        "ages": any(age is not None for age in report.ages), "views": bool(rank_values(report.views)),
        "sexes": bool(rank_values(report.sexes)),
    }  # fmt: skip
    small = ["counts", *(name for name, told in optional.items() if told)]
    rows = [[small[0]] * 2] if len(small) == 1 else [small[:2]]
    rows += [small[2:] * (2 if len(small) == 3 else 1)] if len(small) > 2 else []
    height *= (len(rows) + 1) / 3
    figure = Figure(figsize=(14, 3 * height), dpi=100, layout="constrained")
    rows.append(["baselines", last])
    axes = figure.subplot_mosaic(rows)  # type: ignore[arg-type]  # of names it takes lists of lists
    draw_counts(axes["counts"], report)
    if optional["ages"]:
        draw_ages(axes["ages"], report)
    for name, what, values in (("views", "view", report.views), ("sexes", "sex", report.sexes)):
        if optional[name]:
            draw_shares(axes[name], report, what, values)
    if exclusive:
        draw_baselines(axes["baselines"], report.baselines)
    else:
        draw_finding_baselines(axes["baselines"], report)
        draw_together(axes["together"], report)
    for axis in axes.values():
        axis.spines[["top", "right"]].set_visible(False)
    return png(figure)


def draw_counts(axis: Axes, report: SplitReport) -> None:
    parts = {
        part: [int((chosen & rows).sum()) for chosen in report.frequent.values()] for part, rows in report.parts.items()
    }
    draw_stacked_bars(axis, list(report.frequent), parts)
    axis.set_title("Images of each finding", fontsize=15)


def draw_shares(axis: Axes, report: SplitReport, what: str, values: Sequence[str | None]) -> None:
    axis.set_title(f"{what.capitalize()} in each finding (share)", fontsize=15)
    different = rank_values(values)
    shares = {
        value: [measure_share(values, chosen, value) or 0.0 for chosen in report.frequent.values()]
        for value in different
    }
    draw_stacked_bars(axis, list(report.frequent), shares)
    axis.set_xlim(0, 1)


def draw_stacked_bars(axis: Axes, names: Sequence[str], parts: Mapping[str, Sequence[float]]) -> None:
    """Horizontal stacked bars, one for each name, from top to bottom."""
    left = np.zeros(len(names))
    for (label, widths), colour in zip(parts.items(), COLOURS, strict=False):
        axis.barh(names, widths, left=left, label=label, color=colour)
        left += widths
    axis.invert_yaxis()
    axis.tick_params(labelsize=12)
    put_legend_below(axis, len(parts))


def put_legend_below(axis: Axes, columns: int) -> None:
    axis.legend(fontsize=12, ncols=columns, loc="upper left", bbox_to_anchor=(0, -0.06), frameon=False)


def draw_ages(axis: Axes, report: SplitReport) -> None:
    axis.set_title("Age of each finding (years)", fontsize=15)
    known = {name: known_ages(report.ages, chosen) for name, chosen in report.frequent.items()}
    axis.boxplot(
        list(known.values()), orientation="horizontal", tick_labels=list(known), widths=0.6, patch_artist=True,
        boxprops={"facecolor": COLOURS[4]}, medianprops={"color": "black"}, flierprops={"markersize": 3},
    )  # fmt: skip
    axis.invert_yaxis()
    axis.tick_params(labelsize=12)


def draw_together(axis: Axes, report: SplitReport) -> None:
    axis.set_title("Findings together (% of the row's images)", fontsize=15)
    names, counts, shares = count_together(report)
    np.fill_diagonal(shares, np.nan)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=max(0.1, float(np.nanmax(shares, initial=0))), aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if counts[row, column] and row != column:
            dark = share > 0.6 * np.nanmax(shares)
            axis.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color="white" if dark else "black")
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(labelsize=12, length=0)
    axis.spines[:].set_visible(False)


def draw_finding_baselines(axis: Axes, report: SplitReport) -> None:
    axis.set_title("AUC without knowledge of disease (test, 95 %)", fontsize=15)
    names = [name for name in report.frequent if name != NO_FINDING]
    for baseline, shift, colour in ((VIEW, -0.15, COLOURS[0]), (RIDGE, 0.15, COLOURS[5])):
        label: str | None = baseline
        for measured in report.baselines:
            if measured.name == baseline and measured.finding in names and measured.auc is not None:
                row = names.index(measured.finding) + shift
                ends = measured.auc_interval or (measured.auc, measured.auc)
                interval(axis, row, measured.auc, *ends, fmt="o", color=colour, capsize=4, markersize=7, label=label)
                label = None
    axis.axvline(0.5, color="gray", linestyle=":", label="chance")
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, 1.02)
    axis.tick_params(labelsize=12)
    put_legend_below(axis, 3)


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
    put_legend_below(axis, 1)
