"""What a classifier is shown, beside torchvision's functions for one picture."""

import numpy as np
import pytest
import torch
from torch.nn.functional import affine_grid
from torchvision.transforms import functional as tv

from cxr.classify.augment import (
    RANDOM_NUMBERS_PER_IMAGE,
    augment,
    center_crop,
    jitter_intensity,
    sample_affine_matrices,
    sampling_grid,
)
from cxr.classify.config import ClassifyConfig
from cxr.classify.small_cnn import pixels_to_input

STILL = {"network": "cnn", "crop_scale": (1, 1), "flip": False, "rotation": 0, "jitter": 0}


def still(size: int = 40, resize: int = 40, **fields) -> ClassifyConfig:
    return ClassifyConfig(**{**STILL, "size": size, "resize": resize, **fields})


def drawn(count: int, size: int = 40) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, size, size), dtype=np.uint8))


def chances(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, RANDOM_NUMBERS_PER_IMAGE, generator=torch.Generator().manual_seed(seed))


def test_with_nothing_to_change_pictures_are_shown_as_they_are():
    pictures = drawn(3)
    assert torch.equal(augment(pictures, chances(3), still()), pixels_to_input(pictures.numpy()))
    assert torch.equal(center_crop(pictures, still()), pixels_to_input(pictures.numpy()))


def test_the_middle_is_torchvisions():
    pictures = drawn(2)
    expected = tv.center_crop(pixels_to_input(pictures.numpy()), [30, 30])
    assert torch.equal(center_crop(pictures, still(size=30)), expected)


def test_a_crop_is_torchvisions():
    config, own = still(crop_scale=(0.81, 1)), torch.full((1, RANDOM_NUMBERS_PER_IMAGE), 0.5)
    own[:, 0], own[:, 2] = 0, 0  # nine tenths of each side, at the left
    expected = tv.resized_crop(pixels_to_input(drawn(1).numpy()), 2, 0, 36, 36, [40, 40], antialias=False)
    inner = (..., slice(1, -1), slice(1, -1))  # at its edge ours still sees what lies beyond
    torch.testing.assert_close(augment(drawn(1), own, config)[inner], expected[inner], atol=2e-4, rtol=0)


@pytest.mark.parametrize(("turn", "quarters"), [(0.0, 1), (1.0, -1)])
def test_a_quarter_turn_is_one(turn: float, quarters: int):
    own = torch.full((1, RANDOM_NUMBERS_PER_IMAGE), 0.5)
    own[:, 4] = turn
    expected = torch.rot90(pixels_to_input(drawn(1).numpy()), -quarters, dims=(2, 3))
    torch.testing.assert_close(augment(drawn(1), own, still(rotation=90)), expected, atol=2e-3, rtol=0)


def test_half_of_the_pictures_are_mirrored():
    pictures = drawn(1).repeat(200, 1, 1)
    shown = augment(pictures, chances(200), still(flip=True))
    plain = pixels_to_input(pictures[:1].numpy())
    kinds = [((shown - each).abs().amax(dim=(1, 2, 3)) < 2e-3) for each in (plain, plain.flip(3))]
    assert torch.equal(kinds[0], ~kinds[1]) and 70 < kinds[0].sum() < 130


def test_crops_lie_inside_and_take_the_share_that_was_asked_for():
    matrices = sample_affine_matrices(chances(2000)[:, :6], ClassifyConfig(crop_scale=(0.3, 1), rotation=0))
    area = torch.linalg.det(matrices[:, :, :2]).abs()
    assert area.min() > 0.3 - 1e-5 and area.max() < 1 + 1e-5 and 0.6 < area.mean() < 0.7
    assert (matrices.abs()[:, 0, 0] + matrices.abs()[:, 0, 2]).max() < 1 + 1e-5
    aspect = matrices[:, 0, 0].abs() / matrices[:, 1, 1]
    assert 0.75 - 1e-5 < aspect.min() < 0.78 and 1.28 < aspect.max() < 4 / 3 + 1e-5


def test_pixels_are_looked_up_where_torchs_grid_has_them():
    matrices = sample_affine_matrices(chances(3)[:, :6], ClassifyConfig())
    expected = affine_grid(matrices, [3, 1, 40, 40], align_corners=False)
    torch.testing.assert_close(sampling_grid(matrices, 40), expected, atol=1e-5, rtol=0)


def test_jitter_is_torchvisions_brightness_then_contrast():
    gray = drawn(1).float()[:, None]
    expected = 255 * tv.adjust_contrast(tv.adjust_brightness(gray / 255, 0.9), 1.1)
    torch.testing.assert_close(jitter_intensity(gray, torch.tensor([[0.0, 1.0]]), 0.1), expected, atol=0.02, rtol=0)


def test_a_picture_follows_from_its_own_chances():
    pictures, own, config = drawn(11), chances(11), ClassifyConfig(network="cnn", resize=40, size=32)
    together = augment(pictures, own, config)
    assert together.shape == (11, 1, 32, 32) and together.min() >= -1 and together.max() <= 1
    for row in range(11):
        torch.testing.assert_close(augment(pictures[row, None], own[row, None], config)[0], together[row])
    assert not torch.equal(augment(pictures, chances(11, 1), config), together)
