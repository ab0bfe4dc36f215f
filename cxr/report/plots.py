"""What every plot shares: colours, parts that more than one has, and its file."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design, 2008: told apart with any colour vision
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
DPI = 300  # of a plot for print


def png(figure: "Figure", dpi: float | None = None) -> bytes:
    """The figure as a file, at its own resolution unless another is given."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=dpi or "figure")
    return data.getvalue()


def interval(axis: "Axes", row: float, value: float, low: float, high: float, **style: Any) -> None:
    """A value with its interval, which need not be symmetric, at a row."""
    axis.errorbar(value, row, xerr=[[value - low], [high - value]], **style)


def confusion_matrix(axis: "Axes", classes: Sequence[str], counts: np.ndarray) -> None:
    """Counts int [C, C], rows true and columns predicted, shaded by the share of the true class."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, f"{count:,}" if count else "·", ha="center", va="center", color=colour, fontsize=12)
    names = [name.replace("_", " ") for name in classes]
    several = len(names) > 4
    slant: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if several else {}
    axis.set_xticks(range(len(names)), names if several else [name.replace(" ", "\n") for name in names], **slant)
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
