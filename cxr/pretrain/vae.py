"""The embedded model's autoencoder: 128 x 128 gray pictures, in three equal channels, to 32 x 32 x 8 latents."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from cxr.diffusion.latents import latent_moments, to_signal
from cxr.diffusion.sampler import to_gray
from cxr.pretrain.config import VaeConfig


def make_vae(config: VaeConfig, size: int) -> AutoencoderKL:
    levels = len(config.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.channels,
        layers_per_block=1,
        latent_channels=config.latent_channels,
        norm_num_groups=8,
        sample_size=size,
        mid_block_add_attention=False,
    )


def edge_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the finite differences along both axes."""
    error = a - b
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def texture_error(a: Tensor, b: Tensor, window: int = 8) -> Tensor:
    """Mean absolute difference of how much the picture changes in each window, whatever the places of the changes.

    Grain that latents cannot hold point by point costs the mean-seeking L1 terms least when it is smoothed away;
    this term asks for grain of the same strength instead.
    """
    along = [
        (F.avg_pool2d(a.diff(dim=d).abs(), window) - F.avg_pool2d(b.diff(dim=d).abs(), window)).abs().mean()
        for d in (-1, -2)
    ]
    return along[0] + along[1]


@torch.no_grad()
def reconstruct(folder: Path, pixels: np.ndarray, batch: int = 16) -> np.ndarray:
    """uint8 [N, H, W] as they come back from the autoencoder in `folder`, the same shape."""
    vae = AutoencoderKL.from_pretrained(folder, local_files_only=True).float().eval()
    signals = (to_signal(pixels[at : at + batch]) for at in range(0, len(pixels), batch))
    decoded = (vae.decode(vae.encode(signal).latent_dist.mode()).sample for signal in signals)
    return np.concatenate([to_gray(signal.div(2).add(0.5).clamp(0, 1)) for signal in decoded])


def train_vae(
    config: VaeConfig, pixels: np.ndarray, rng: np.random.Generator, report: Callable[[dict[str, float]], None]
) -> AutoencoderKL:
    """Trains on `pixels` (uint8 [N, H, W]); sets scaling_factor so that the latents have unit variance."""
    vae = make_vae(config, pixels.shape[1])
    optimizer = torch.optim.AdamW(vae.parameters(), lr=config.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.05
    )
    noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
    for _ in range(config.steps):
        batch = to_signal(pixels[rng.integers(len(pixels), size=config.batch)])
        posterior = vae.encode(batch).latent_dist
        decoded = vae.decode(posterior.sample(generator=noise)).sample
        l1 = (decoded - batch).abs().mean()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        sharp = config.edge_weight * edge_error(decoded, batch) + config.texture_weight * texture_error(decoded, batch)
        loss = l1 + sharp + config.kl_weight * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report({"loss": loss.item(), "l1": l1.item(), "kl": kl.item()})
    vae.eval().requires_grad_(False)
    mean, std = latent_moments(vae, pixels[:1024])
    vae.register_to_config(scaling_factor=float(1.0 / torch.sqrt(mean.var() + std.square().mean())))
    return vae
