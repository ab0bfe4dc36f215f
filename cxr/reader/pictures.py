"""What the page of scores shows: curves and areas of the readers, and the X-rays that deceived them."""

import base64
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr.artifact import Record
from cxr.data.images import encode_png, fit_square
from cxr.reader.job import Key
from cxr.reader.page import pictures_of_page
from cxr.reader.statistics import BY_CHANCE, Estimate
from cxr.report.plots import COLOURS, interval, png
from cxr.store import Store, sha256

SIDE = 320  # pixels of an X-ray on the page
MOST_COLOURS = 7  # readers that a colour each tells apart; black is of all together
FALSE_ALARMS = np.linspace(0, 1, 201)


def read_shown(study: Store, record: Record, key: Key, cases: Sequence[int]) -> dict[int, str]:
    """These cases as data URIs, out of a page that `prepare` wrote; none where every page is gone or was changed."""
    written = {stored.key: stored.sha256 for stored in record.objects}
    for reader, order in key.orders.items():
        try:
            data = study.get(f"{reader}.html")
        except KeyError:
            continue
        if sha256(data) == written.get(f"{reader}.html"):
            shown = pictures_of_page(data.decode())
            return {case: data_uri(shown[order.index(case)]) for case in cases}
    return {}


def data_uri(picture: np.ndarray) -> str:
    data = encode_png(fit_square(picture, min(SIDE, len(picture)), "keep"), {})
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def operating_points(synthetic: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve of one reader's scores [S] and [N]: shares of real and of synthetic cases that are called
    synthetic, at each confidence, from (0, 0) to (1, 1)."""
    cuts = np.unique(np.concatenate([synthetic, real]))[::-1]
    alarms, found = ((part[:, None] >= cuts).mean(axis=0) for part in (real, synthetic))
    return np.concatenate([[0.0], alarms]), np.concatenate([[0.0], found])


def mean_curve(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Of all readers at each of `FALSE_ALARMS`; the area below it is their mean AUC, but for the grid."""
    return np.mean([np.interp(FALSE_ALARMS, *curve) for curve in curves], axis=0)


def draw_curves(readers: Sequence[str], said: np.ndarray, synthetic: np.ndarray) -> bytes:
    """A PNG of the ROC curve of each reader and of their mean.

    Args:
        said: [R, N], the higher the more synthetic.
        synthetic: bool [N].
    """
    curves = [operating_points(row[synthetic], row[~synthetic]) for row in said]
    figure = Figure(figsize=(6, 6), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1, label="by chance")
    few = len(readers) <= MOST_COLOURS
    for row, (reader, curve) in enumerate(zip(readers, curves, strict=True)):
        colour = COLOURS[row] if few else "0.7"
        axis.plot(*curve, color=colour, marker="o", markersize=4, linewidth=1, label=reader if few else None)
    if len(readers) > 1:
        mean = [0.0, *FALSE_ALARMS], [0.0, *mean_curve(curves)]
        axis.plot(*mean, color="black", linewidth=2.5, label=f"mean of {len(readers)}")
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axis.set_xlabel("real X-rays called synthetic", fontsize=13)
    axis.set_ylabel("synthetic X-rays called synthetic", fontsize=13)
    axis.legend(fontsize=11, frameon=False, loc="lower right")
    return finish(figure, axis)


def draw_areas(readers: Sequence[str], areas: Sequence[Estimate]) -> bytes:
    """A PNG of the AUC over readers and of each, with intervals.

    Args:
        areas: of all readers together first, then of each.
    """
    names = ["all readers", *readers] if len(readers) > 1 else readers
    shown = areas if len(readers) > 1 else areas[1:]
    figure = Figure(figsize=(6, max(2.5, 1.2 + 0.42 * len(names))), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.axvline(BY_CHANCE, color="0.6", linestyle=":", linewidth=1)
    few = len(readers) <= MOST_COLOURS
    for row, one in enumerate(shown):
        together = len(readers) > 1 and row == 0
        place = row - (len(readers) > 1)
        colour = "black" if together else COLOURS[place] if few else "0.5"
        interval(axis, row, one.value, one.low, one.high, fmt="D" if together else "o", color=colour,
                 linewidth=2.5 if together else 1.5, capsize=3)  # fmt: skip
    axis.set(xlim=(-0.02, 1.02), ylim=(len(shown) - 0.5, -0.5))
    axis.set_yticks(range(len(shown)), names, fontsize=12)
    axis.set_xlabel("AUC, with its 95 % interval; 0.5 is by chance", fontsize=13)
    return finish(figure, axis)


def finish(figure: Figure, axis: Axes) -> bytes:
    axis.tick_params(labelsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    return png(figure)
