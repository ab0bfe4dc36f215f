"""Augmentation: a picture changed a little each time in training, its centre otherwise.

Batches are changed on the network's device, and a picture by its own random numbers alone.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.classify.config import ClassifyConfig

RANDOM_NUMBERS_PER_IMAGE = 8
MAX_LOG_ASPECT = math.log(4 / 3)  # of a crop's width to its height, either way, as in torchvision's RandomResizedCrop
IMAGES_AT_ONCE = 4  # pictures at a time on a CPU, so that they stay in its cache


def augment(pixels: Tensor, randoms: Tensor, config: ClassifyConfig) -> Tensor:
    """A random resized crop, flip and rotation in one interpolation, then other brightness and contrast.

    Args:
        pixels: uint8 [B, resize, resize].
        randoms: float32 [B, RANDOM_NUMBERS_PER_IMAGE], uniform in [0, 1).

    Returns:
        float32 [B, 1, size, size] in [-1, 1]; what a rotation brings in from outside the picture is black.
    """
    few = len(pixels) if pixels.is_cuda else IMAGES_AT_ONCE
    shown = torch.empty(len(pixels), 1, config.size, config.size, device=pixels.device)
    parts = (
        each.split(few) for each in (shown, pixels, sample_affine_matrices(randoms[:, :6], config), randoms[:, 6:])
    )
    for part, gray, matrices, rest in zip(*parts, strict=True):
        part.copy_(augment_few(gray, matrices, rest, config))
    return shown


def augment_few(pixels: Tensor, matrices: Tensor, randoms: Tensor, config: ClassifyConfig) -> Tensor:
    gray = pixels[:, None].float()
    if config.changes_geometry:
        gray = F.grid_sample(gray, sampling_grid(matrices, config.size), align_corners=False)
    if config.jitter:
        gray = jitter_intensity(gray, randoms, config.jitter)
    return gray.div_(127.5).sub_(1)


def center_crop(pixels: Tensor, config: ClassifyConfig) -> Tensor:
    """The middle of uint8 [B, resize, resize], as float32 [B, 1, size, size] in [-1, 1]."""
    edge = (config.resize - config.size) // 2
    middle = pixels[:, None, edge : edge + config.size, edge : edge + config.size]
    return middle.float().div_(127.5).sub_(1)


def sample_affine_matrices(randoms: Tensor, config: ClassifyConfig) -> Tensor:
    """Random crops, flips and rotations: matrices [B, 2, 3] for `sampling_grid`, from random numbers [B, 6]."""
    low, high = config.crop_scale
    area = low + (high - low) * randoms[:, 0]
    aspect, x, y, turn = (2 * randoms[:, 1:5] - 1).unbind(1)
    aspect = (aspect * (-area.log()).clamp(max=MAX_LOG_ASPECT)).exp()  # no further than the crop still fits
    width, height = (area * aspect).sqrt(), (area / aspect).sqrt()
    angle = math.radians(config.rotation) * turn
    mirrored = width.where(randoms[:, 5] < 0.5, -width) if config.flip else width
    rows = (mirrored * angle.cos(), -mirrored * angle.sin(), (1 - width) * x), (
        height * angle.sin(), height * angle.cos(), (1 - height) * y,
    )  # fmt: skip
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def sampling_grid(matrices: Tensor, size: int) -> Tensor:
    """Where each pixel is looked up, [B, size, size, 2], as `affine_grid` has it; x and y lie apart: faster."""
    line = (2 * torch.arange(size, device=matrices.device) + 1) / size - 1
    across, down, offset = matrices[..., None, None].unbind(2)
    return (across * line + (offset + down * line[:, None])).permute(0, 2, 3, 1)


def jitter_intensity(gray: Tensor, randoms: Tensor, strength: float) -> Tensor:
    """Factors of 1 - strength to 1 + strength on the brightness of [B, 1, H, W] in [0, 255] and on its contrast."""
    brightness, contrast = (1 + strength * (2 * randoms - 1)).T[:, :, None, None, None]
    mean = (gray.mean(dim=(2, 3), keepdim=True) * brightness).clamp_(max=255)
    return gray.mul_(brightness * contrast).add_(mean * (1 - contrast)).clamp_(0, 255)
