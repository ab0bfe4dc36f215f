"""The picture of a training: what was reported after each step and each validation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from cxr.report.plots import COLOURS, png


def plot_curves(history: Sequence[Mapping[str, float]]) -> bytes:
    """A PNG of what was reported: the loss of every step, which a private training does not tell, and each
    validation score in a panel of its own."""
    names = [name for name in ("loss", "mse", "ssim", "psnr", "kid") if any(name in row for row in history)]
    figure = Figure(figsize=(7, 3 * len(names)), dpi=100, layout="constrained")
    for axis, name in zip(np.atleast_1d(figure.subplots(len(names), sharex=True)), names, strict=True):
        steps, values = zip(*((row["step"], row[name]) for row in history if name in row), strict=True)
        axis.plot(steps, values, color=COLOURS[0], marker="" if name == "loss" else "o", linewidth=1)
        axis.set_title("training loss" if name == "loss" else f"validation {name.upper()}", fontsize=13)
        axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("step", fontsize=12)
    return png(figure)
