"""All nights that were judged, also those that are no longer there: a file each, one page and one picture."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import NamedTuple

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr.data.lineage import PHANTOM_NOTICE
from cxr.nightly.places import TREND
from cxr.nightly.report import Report, format_value
from cxr.report.pages import Table, embedded, render
from cxr.report.plots import COLOURS, png
from cxr.report.words import FRECHET, metric_label
from cxr.store import Store

PAGE_KEY, PICTURE_KEY = f"{TREND}index.html", f"{TREND}trend.png"
NIGHT_FILES = f"{TREND}nights/"
READ_THREADS = 16
DPI, WIDTH, PANEL = 200, 9.0, 2.6  # inches
DAY = timedelta(days=1)
HEADROOM = 1.15  # of a panel, so that the highest marker is whole
BLUE, RED = COLOURS[0], COLOURS[5]


class Panel(NamedTuple):
    """A metric over nights: its name in `GateMetrics`, what it is called, and which check's limit is shown."""

    metric: str
    name: str
    check: int
    better: str


PANELS = (
    Panel("excess_distance", "Fréchet distance, less that of real halves", 0, "lower is better"),
    Panel("worst_accuracy", "prompt accuracy of the worst finding, lower bound", 1, "higher is better"),
    Panel("copy_rate", "share of near-duplicates", 2, "lower is better"),
)


def update_trend(root: Store, report: Report) -> None:
    """Takes a night in and makes page and picture anew."""
    root.put(f"{NIGHT_FILES}{report.date}.json", report.model_dump_json(indent=1).encode())
    nights = read_nights(root)
    picture = draw_trend(nights)
    root.put(PICTURE_KEY, picture)
    root.put(PAGE_KEY, render_page(nights, picture).encode())


def read_nights(root: Store) -> list[Report]:
    """All judged nights, the oldest first."""
    keys = sorted(found.key for found in root.list(NIGHT_FILES))
    with ThreadPoolExecutor(READ_THREADS) as threads:
        return [Report.model_validate_json(data) for data in threads.map(root.get, keys)]


def render_page(nights: Sequence[Report], picture: bytes) -> str:
    file = PICTURE_KEY.removeprefix(TREND)
    warning = PHANTOM_NOTICE if any(night.phantom for night in nights) else ""
    content = {"newest": nights[-1], "rows": build_table(nights), "warning": warning}
    return render("trend.html", **content, shown=embedded(picture), file=file)


def build_table(nights: Sequence[Report]) -> Table:
    """A night a row, the newest first."""
    frechet = metric_label(nights[-1].metrics.extractor, FRECHET)
    head = ["night", "gate", "pictures", frechet, "less real halves'"]
    head += ["worst prompt accuracy", "prompt accuracy", "near-duplicates", "audit"]
    names = ("frechet_distance", "excess_distance", "worst_accuracy", "prompt_accuracy", "copy_rate")
    rows = [
        [
            night.date, "passed" if night.passed else "failed", f"{night.pictures:,}",
            *(format_value(getattr(night.metrics, name)) for name in names), night.metrics.audit or "unaudited",
            night.data[:12], night.model[:12],
        ]
        for night in reversed(nights)
    ]  # fmt: skip
    return [*head, "data", "model"], rows


def draw_trend(nights: Sequence[Report]) -> bytes:
    """The judged metrics over nights, with their limits: a PNG, 9 inches wide."""
    canvas = Figure(figsize=(WIDTH, 0.8 + PANEL * len(PANELS)), dpi=DPI, layout="constrained")
    axes = canvas.subplots(len(PANELS), sharex=True)
    for axis, panel in zip(axes, PANELS, strict=True):
        draw_panel(axis, panel, nights)
    axes[-1].xaxis.set_major_locator(mdates.AutoDateLocator(minticks=2, maxticks=10))
    axes[-1].xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes[-1].xaxis.get_major_locator()))
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, fontsize=12)
    return png(canvas)


def draw_panel(axis: Axes, panel: Panel, nights: Sequence[Report]) -> None:
    days = np.array([date.fromisoformat(night.date) for night in nights])
    values = [getattr(night.metrics, panel.metric) for night in nights]
    axis.plot(days, values, color="#9aa2a9", linewidth=1)
    for passed, colour, marker, name in ((True, BLUE, "o", "passed"), (False, RED, "X", "failed its gate")):
        chosen = [(day, v) for day, v, night in zip(days, values, nights, strict=True) if night.passed is passed]
        axis.plot(*zip(*chosen, strict=True) if chosen else ([], []), marker, color=colour, markersize=9, label=name)
    # Nights of version 0.1 were judged by another metric, whose limit is not shown.
    limits = [
        night.checks[panel.check].limit if value is not None or night.metrics.distance_quotient is None else None
        for night, value in zip(nights, values, strict=True)
    ]
    x, y = [days[0] - DAY, *days, days[-1] + DAY], np.array([limits[0], *limits, limits[-1]], float)
    axis.step(x, y, where="mid", color="black", linestyle="--", linewidth=1.4, label="limit")
    axis.set_title(f"{panel.name} ({panel.better})", fontsize=14, loc="left", fontweight="bold")
    axis.margins(x=0)
    highest = np.nanmax(np.array([0, *values, *y], float))  # None, of what was not measured, is not a number there
    axis.set_ylim(0, HEADROOM * highest if highest else 1)
    axis.tick_params(labelsize=12)
    axis.grid(color="#e3e6e9")
    axis.spines[["top", "right"]].set_visible(False)
