"""The tiny pipeline of each family, loaded once; and pictures of bars to train on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.diffusion.family import DiffusionModel, family_of
from cxr.finetune.batches import CaptionedImages
from tests.tiny_families import FAMILIES, save_family

Place = Callable[[str], Path]
Load = Callable[[str], DiffusionModel]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def family_folder(once) -> Place:
    """`family_folder(pipeline's class)`: the folder. For reading only."""
    return lambda name: once(name, lambda folder: save_family(name, folder))


@pytest.fixture(params=FAMILIES, scope="module")
def folder(request: pytest.FixtureRequest, family_folder: Place) -> Path:
    """Of each family in turn."""
    return family_folder(request.param)


@pytest.fixture
def load(folder: Path) -> Callable[[], DiffusionModel]:
    return lambda: family_of(folder).load(folder, torch.float32)


@pytest.fixture(scope="session")
def bars() -> CaptionedImages:
    """Six pictures; each caption says how many bars there are."""
    waves = [127 + 100 * np.sin(np.linspace(0, np.pi * (i + 1), 64)) for i in range(6)]
    pixels = np.stack([np.tile(wave, (64, 1)) for wave in waves]).astype(np.uint8)
    return CaptionedImages(pixels, [f"chest x-ray with {i + 1} bars" for i in range(6)])
