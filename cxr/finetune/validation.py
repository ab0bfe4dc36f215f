"""What is measured every so many steps, on pictures that are never trained on, and how it is shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from cxr.data.images import encode_png
from cxr.finetune.batches import CaptionedImages, fixed_batch
from cxr.finetune.loop import Trainer
from cxr.finetune.losses import Objective
from cxr.report.contact_sheet import COLUMNS, contact_sheet
from cxr.report.plots import COLOURS, png

FEWEST_FOR_KID = 2  # pictures: its estimate is without bias, and one has no other to be compared with
Sample = Callable[[Sequence[str], Sequence[int]], np.ndarray]  # prompts and seeds to uint8 [N, H, W]
Distance = Callable[[np.ndarray, np.ndarray], float]  # of two sets of pictures, uint8 [N, H, W]


class Validation:
    """Measures the model of a trainer; the same pictures, noise, times and seeds every time.

    The scores are `mse`, the denoising error; with `sample` also the mean `ssim` and `psnr` between each real picture
    and one generated from its caption; with `distance` also `kid` between the real and the generated ones, if there
    are two or more.

    Args:
        images: some of the validation part, or of the test part.
        sample: generates with the trainer's model.
    """

    def __init__(
        self, trainer: Trainer, images: CaptionedImages, sample: Sample | None = None, distance: Distance | None = None
    ) -> None:
        self.config, self.images = trainer.config, images
        self.objective = Objective(trainer.model, images, self.config.cache, trainer.precision)
        self.sample, self.distance = sample, distance
        self.generated: np.ndarray | None = None  # the last ones, beside `images`

    def __call__(self) -> dict[str, float]:
        scores = {"mse": self.denoising_error()}
        if self.sample:
            real = self.images.pixels
            self.generated = self.sample(self.images.captions, range(len(self.images)))
            scores |= compare_pairs(self.generated, real)
            if self.distance and len(real) >= FEWEST_FOR_KID:
                scores["kid"] = self.distance(self.generated, real)
        return scores

    @torch.no_grad()
    def denoising_error(self) -> float:
        """The mean of the objective on fixed draws, without weights, mirroring or dropped captions."""
        objective, count = self.objective, len(self.images)
        shape, times = objective.latent_shape(), objective.model.timesteps
        total = 0.0
        for first in range(0, count, self.config.batch):
            last = min(first + self.config.batch, count)
            batch = fixed_batch(self.images, first, last, shape, times, self.config.seed)
            total += objective.errors(batch).sum().item()
        return total / count

    def draw_grid(self) -> bytes:
        """A PNG: the first real pictures above those generated from their captions."""
        assert self.generated is not None, "nothing was generated yet"
        rows = {"real": self.images.pixels, "generated from its caption": self.generated}
        return contact_sheet({name: [encode_png(pixels) for pixels in row[:COLUMNS]] for name, row in rows.items()})


def compare_pairs(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Mean SSIM (Wang et al. 2004, 11 x 11 Gaussian window) and PSNR (dB) of pairs, each uint8 [N, H, W].

    PSNR is the mean over pairs, not that of the pooled error.
    """
    a, b = _unit(generated), _unit(real)
    similarity = cast(Tensor, structural_similarity_index_measure(a, b, data_range=1.0))  # no tuple unless asked
    return {"ssim": similarity.item(), "psnr": peak_signal_noise_ratio(a, b, data_range=1.0, dim=(1, 2, 3)).item()}


def _unit(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W] to float32 [N, 1, H, W] in [0, 1]."""
    return torch.from_numpy(pixels)[:, None].float() / 255


def plot_curves(history: Sequence[Mapping[str, float]]) -> bytes:
    """A PNG of what was reported: the loss of every step, and each validation score in a panel of its own."""
    names = ["loss", *(name for name in ("mse", "ssim", "psnr", "kid") if any(name in row for row in history))]
    figure = Figure(figsize=(7, 3 * len(names)), dpi=100, layout="constrained")
    for axis, name in zip(np.atleast_1d(figure.subplots(len(names), sharex=True)), names, strict=True):
        steps, values = zip(*((row["step"], row[name]) for row in history if name in row), strict=True)
        axis.plot(steps, values, color=COLOURS[0], marker="" if name == "loss" else "o", linewidth=1)
        axis.set_title("training loss" if name == "loss" else f"validation {name.upper()}", fontsize=13)
        axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("step", fontsize=12)
    return png(figure)
