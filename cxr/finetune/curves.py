"""The picture of a training: what was reported after each step and each validation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr.report.plots import COLOURS, png

BETTER = {"mse": "lower is better", "ssim": "higher is better", "psnr": "higher is better", "kid": "lower is better"}
SMOOTHED = 20  # windows of this many fit into the steps


def plot_curves(history: Sequence[Mapping[str, float]], kept: int | None = None) -> bytes:
    """A PNG of what was reported: the loss of every step with its running mean, which a private training does not
    tell, and each validation score in a panel of its own.

    Args:
        kept: the step of the checkpoint that was chosen, which is marked.
    """
    names = [name for name in ("loss", *BETTER) if any(name in row for row in history)]
    figure = Figure(figsize=(7, 3 * len(names)), dpi=100, layout="constrained")
    for axis, name in zip(np.atleast_1d(figure.subplots(len(names), sharex=True)), names, strict=True):
        steps, values = map(np.array, zip(*((row["step"], row[name]) for row in history if name in row), strict=True))
        if name == "loss":
            draw_loss(axis, steps, values)
        else:
            axis.plot(steps, values, color=COLOURS[0], marker="o", linewidth=1)
            axis.set_title(f"validation {name.upper()}: {BETTER[name]}", fontsize=13)
        if kept is not None:
            axis.axvline(kept, color=COLOURS[5], linestyle="--", linewidth=1, label=f"kept: step {kept}")
            axis.legend(fontsize=10, frameon=False, loc="best")
        axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("step", fontsize=12)
    return png(figure)


def draw_loss(axis: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    """Of each step in gray, and the mean of the steps around it."""
    half = max(1, len(steps) // SMOOTHED)
    means = [values[max(0, row - half) : row + half + 1].mean() for row in range(len(values))]
    axis.plot(steps, values, color="0.8", linewidth=0.8)
    axis.plot(steps, means, color=COLOURS[0], linewidth=1.5, label=f"mean of {2 * half + 1} steps")
    axis.set_title("training loss: lower is better", fontsize=13)
    axis.legend(fontsize=10, frameon=False, loc="best")
