import numpy as np
import torch

from cxr.diffusion.latents import latent_moments, to_signal
from cxr.pretrain.config import VaeConfig
from cxr.pretrain.vae import edge_error, reconstruct, texture_error, train_vae


def test_grain_elsewhere_costs_texture_nothing_and_no_grain_costs_it_all():
    first, second = (torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    smooth = torch.zeros_like(first)
    assert texture_error(first, second) < 0.15 * texture_error(smooth, second)
    assert edge_error(first, second) > edge_error(smooth, second)


def test_training_lowers_the_error_and_leaves_latents_of_unit_variance(tmp_path):
    pixels = np.kron(np.random.default_rng(0).integers(40, 220, (24, 4, 4)), np.ones((8, 8))).astype(np.uint8)
    errors = []
    config = VaeConfig(channels=(8, 8, 8), steps=60, learning_rate=1e-2)
    torch.manual_seed(0)
    vae = train_vae(config, pixels, np.random.default_rng(0), lambda figures: errors.append(figures["l1"]))
    assert np.mean(errors[-10:]) < 0.6 * np.mean(errors[:10])
    vae.save_pretrained(tmp_path)
    returned = reconstruct(tmp_path, pixels, batch=7)
    assert np.abs(returned - pixels.astype(int)).mean() < 0.8 * np.abs(pixels.mean() - pixels).mean()
    mean, std = latent_moments(vae, pixels)
    assert mean.shape == std.shape == (24, 8, 8, 8)
    spread = vae.config.scaling_factor * torch.sqrt(mean.var() + std.square().mean())
    assert abs(spread - 1) < 0.01
    assert to_signal(pixels).shape == (24, 3, 32, 32) and to_signal(pixels).abs().max() <= 1
