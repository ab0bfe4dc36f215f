"""A miniature lab: 28 px pictures of bars that lie or stand, and networks of a few channels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.job import GanJob, begin, prepare
from cxr.labs.gan.real import Real
from cxr.store import open_store

SMALL = {"noise_dim": 4, "width": 4, "epochs": 4, "batch_size": 8, "lenet_epochs": 6, "lenet_batch_size": 16,
         "lenet_learning_rate": 5e-3, "count": 12, "checkpoint_every": 2}  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def draw_bars(count: int) -> np.ndarray:
    """uint8 [count, 28, 28]: a bright bar, lying in even pictures and standing in odd ones."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for number, place in enumerate(rng.integers(4, 22, count)):
        bar = np.s_[place : place + 3] if number % 2 == 0 else np.s_[:, place : place + 3]
        pixels[number][bar] = 230
    return pixels


@pytest.fixture(scope="session")
def real() -> Real:
    """48 pictures to train, 16 to choose, 16 to test."""
    splits = np.array(["train"] * 48 + ["validation"] * 16 + ["test"] * 16)
    return Real(draw_bars(80), np.arange(80) % 2, splits, ("lying", "standing"), "digest", "bars", "CC0", ["bars"])


@pytest.fixture
def job(real: Real, tmp_path: Path) -> Callable[..., GanJob]:
    """`job(name, **fields)`: a begun job in a folder of that name, under a small recipe with these fields changed."""

    def make(name: str = "out", **fields) -> GanJob:
        made = prepare(open_store(str(tmp_path / name)), GanConfig(**{**SMALL, **fields}), real)
        begin(made)
        return made

    return make
