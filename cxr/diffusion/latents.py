"""Pictures to latents: what every training of a diffusion model does with an autoencoder."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor


def to_signal(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W] to float32 [N, 3, H, W] in [-1, 1], as every Stable Diffusion VAE takes it."""
    gray = torch.from_numpy(pixels).float().div_(127.5).sub_(1.0)
    return gray[:, None].expand(-1, 3, -1, -1)


@torch.no_grad()
def latent_moments(vae: AutoencoderKL, pixels: np.ndarray, batch: int = 16) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every picture's posterior, each [N, C, h, w] on the CPU, not scaled."""
    parts = (to_signal(pixels[i : i + batch]).to(vae.device, vae.dtype) for i in range(0, len(pixels), batch))
    posteriors = [vae.encode(part).latent_dist for part in parts]
    return torch.cat([p.mean.cpu() for p in posteriors]), torch.cat([p.std.cpu() for p in posteriors])
