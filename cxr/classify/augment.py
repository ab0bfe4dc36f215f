"""How a picture is shown to a classifier: changed a little each time in training, its middle otherwise.

Batches are worked on where the network is, and what happens to a picture follows from its own chances alone.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.classify.config import ClassifyConfig

CHANCES = 8  # that decide about one picture
ASPECT = math.log(4 / 3)  # of a crop's width to its height, either way, as in torchvision's RandomResizedCrop
FEW = 4  # pictures at a time on a CPU, so that they stay in its cache


def augmented(pixels: Tensor, chances: Tensor, config: ClassifyConfig) -> Tensor:
    """A random resized crop, flip and rotation in one interpolation, then other brightness and contrast.

    Args:
        pixels: uint8 [B, resize, resize].
        chances: float32 [B, CHANCES], uniform in [0, 1).

    Returns:
        float32 [B, 1, size, size] in [-1, 1]; what a rotation brings in from outside the picture is black.
    """
    few = len(pixels) if pixels.is_cuda else FEW
    shown = torch.empty(len(pixels), 1, config.size, config.size, device=pixels.device)
    parts = (each.split(few) for each in (shown, pixels, placed(chances[:, :6], config), chances[:, 6:]))
    for part, gray, matrices, rest in zip(*parts, strict=True):
        part.copy_(changed(gray, matrices, rest, config))
    return shown


def changed(pixels: Tensor, matrices: Tensor, chances: Tensor, config: ClassifyConfig) -> Tensor:
    gray = pixels[:, None].float()
    if moves(config):
        gray = F.grid_sample(gray, grid(matrices, config.size), align_corners=False)
    if config.jitter:
        gray = jittered(gray, chances, config.jitter)
    return gray.div_(127.5).sub_(1)


def centred(pixels: Tensor, config: ClassifyConfig) -> Tensor:
    """The middle of uint8 [B, resize, resize], as float32 [B, 1, size, size] in [-1, 1]."""
    edge = (config.resize - config.size) // 2
    middle = pixels[:, None, edge : edge + config.size, edge : edge + config.size]
    return middle.float().div_(127.5).sub_(1)


def moves(config: ClassifyConfig) -> bool:
    """Whether training shows anything but the picture as it is held."""
    return bool(config.size != config.resize or config.crop_scale != (1, 1) or config.flip or config.rotation)


def placed(chances: Tensor, config: ClassifyConfig) -> Tensor:
    """Where each picture is looked at: matrices [B, 2, 3] for `grid`, from chances [B, 6]."""
    low, high = config.crop_scale
    area = low + (high - low) * chances[:, 0]
    aspect, x, y, turn = (2 * chances[:, 1:5] - 1).unbind(1)
    aspect = (aspect * (-area.log()).clamp(max=ASPECT)).exp()  # no further than the crop still fits
    width, height = (area * aspect).sqrt(), (area / aspect).sqrt()
    angle = math.radians(config.rotation) * turn
    mirrored = width.where(chances[:, 5] < 0.5, -width) if config.flip else width
    rows = (mirrored * angle.cos(), -mirrored * angle.sin(), (1 - width) * x), (
        height * angle.sin(), height * angle.cos(), (1 - height) * y,
    )  # fmt: skip
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def grid(matrices: Tensor, size: int) -> Tensor:
    """Where each pixel is looked up, [B, size, size, 2], as `affine_grid` has it; x and y lie apart: faster."""
    line = (2 * torch.arange(size, device=matrices.device) + 1) / size - 1
    across, down, offset = matrices[..., None, None].unbind(2)
    return (across * line + (offset + down * line[:, None])).permute(0, 2, 3, 1)


def jittered(gray: Tensor, chances: Tensor, strength: float) -> Tensor:
    """Factors of 1 - strength to 1 + strength on the brightness of [B, 1, H, W] in [0, 255] and on its contrast."""
    brightness, contrast = (1 + strength * (2 * chances - 1)).T[:, :, None, None, None]
    mean = (gray.mean(dim=(2, 3), keepdim=True) * brightness).clamp_(max=255)
    return gray.mul_(brightness * contrast).add_(mean * (1 - contrast)).clamp_(0, 255)
