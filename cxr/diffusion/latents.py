"""Pictures to latents: what every training of a diffusion model does with an autoencoder."""

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from torch import Tensor


def to_signal(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W] to float32 [N, 3, H, W] in [-1, 1], as every autoencoder takes it."""
    gray = torch.from_numpy(pixels).float().div_(127.5).sub_(1.0)
    return gray[:, None].expand(-1, 3, -1, -1)


@torch.no_grad()
def latent_moments(vae: AutoencoderKL | AutoencoderDC, pixels: np.ndarray, batch: int = 16) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every picture's posterior, each [N, C, h, w] on the CPU, not scaled; of an
    autoencoder without such a posterior the latents and 0."""
    parts = (to_signal(pixels[i : i + batch]).to(vae.device, vae.dtype) for i in range(0, len(pixels), batch))
    pairs = [_moments(vae.encode(part)) for part in parts]
    return torch.cat([mean.cpu() for mean, _ in pairs]), torch.cat([std.cpu() for _, std in pairs])


def _moments(encoded: Any) -> tuple[Tensor, Tensor]:
    if "latent_dist" in encoded:
        return encoded.latent_dist.mean, encoded.latent_dist.std
    return encoded.latent, torch.zeros_like(encoded.latent)
