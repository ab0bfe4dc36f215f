"""A GAN in pictures: samples growing, curves, classes, confusion."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cxr.labs.gan.loop import Metrics
from cxr.report import plots
from cxr.report.plots import COLOURS, confusion_matrix

COLUMNS, ROWS = 10, 6
SCALE, EDGE, GRAY = 2, 1, 64  # px of the grid for each of a picture; px around each picture, and their level
FRAME, LAST_FRAME = 150, 3000  # ms


def grid(pixels: np.ndarray) -> np.ndarray:
    """uint8 [COLUMNS x ROWS, H, W] side by side, row by row: uint8 [ROWS (H + 2) SCALE, COLUMNS (W + 2) SCALE]."""
    pixels = np.pad(pixels, ((0, 0), (EDGE, EDGE), (EDGE, EDGE)), constant_values=GRAY)
    height, width = pixels.shape[1:]
    joined = pixels.reshape(ROWS, COLUMNS, height, width).swapaxes(1, 2).reshape(ROWS * height, COLUMNS * width)
    return joined.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def png(pixels: np.ndarray) -> bytes:
    """One frame of samples."""
    data = io.BytesIO()
    Image.fromarray(grid(pixels)).save(data, "PNG")
    return data.getvalue()


def gif(frames: Sequence[np.ndarray]) -> bytes:
    """Frames of samples one after the other, for ever; the last stays longer."""
    images = [Image.fromarray(grid(pixels)) for pixels in frames]
    durations = [FRAME] * (len(images) - 1) + [LAST_FRAME]
    data = io.BytesIO()
    images[0].save(data, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return data.getvalue()


def curves(history: Sequence[Metrics]) -> bytes:
    """A PNG: both losses, and how often the discriminator is right, over the epochs."""
    figure = Figure(figsize=(7, 6), dpi=100, layout="constrained")
    panels = {"loss": ("generator_loss", "discriminator_loss"),
              "discriminator is right": ("real_accuracy", "fake_accuracy")}  # fmt: skip
    for axis, (title, names) in zip(figure.subplots(2, sharex=True), panels.items(), strict=True):
        for name, colour in zip(names, (COLOURS[0], COLOURS[5]), strict=True):
            label = name.replace("_", " ")
            axis.plot([f["epoch"] for f in history], [f[name] for f in history], color=colour, label=label)
        axis.set_title(title, fontsize=13)
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("epoch", fontsize=12)
    return plots.png(figure)


def histogram(classes: Sequence[str], counts: Sequence[int], real_counts: np.ndarray) -> bytes:
    """A PNG: each class's share of the generated pictures, beside that of the real train part."""
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axis, places = figure.subplots(), np.arange(len(classes))
    for offset, (label, held) in zip((-0.2, 0.2), (("real", real_counts), ("generated", counts)), strict=True):
        colour = COLOURS[0 if label == "real" else 5]
        axis.bar(places + offset, np.array(held) / sum(held), 0.4, label=label, color=colour)
    axis.set_xticks(places, classes, rotation=45, ha="right")
    axis.set_title("share of the pictures, by the class that LeNet-5 names", fontsize=13)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return plots.png(figure)


def confusion(classes: Sequence[str], counts: np.ndarray) -> bytes:
    """A PNG of int [C, C]: rows are true, columns named."""
    side = 2.5 + 0.7 * len(classes)
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    axis = figure.subplots()
    confusion_matrix(axis, classes, counts)
    axis.set_title("LeNet-5 on the real test part", fontsize=13)
    axis.set_xlabel("named", fontsize=12)
    axis.set_ylabel("true", fontsize=12)
    return plots.png(figure)
