"""What is measured every so many steps, on pictures that are never trained on, and how it is shown."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from cxr.data.images import encode_png
from cxr.finetune.batches import CaptionedImages, fixed_batch
from cxr.finetune.config import FEWEST_FOR_KID
from cxr.finetune.loop import Trainer
from cxr.finetune.losses import Objective
from cxr.report.contact_sheet import COLUMNS, contact_sheet

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
