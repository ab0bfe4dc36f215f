"""A miniature model in training: random weights, 64 px, twelve pictures of bars."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.finetune.adapters import load_base
from cxr.finetune.batches import Pictures
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer

SMALL = {"size": 64, "batch": 2, "max_train_steps": 4, "rank": 4, "alpha": 2, "learning_rate": 1e-2}


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def draw_bars(count: int, first: int = 0) -> Pictures:
    """Picture i has i + 1 bright bars, and its caption says so."""
    waves = [127 + 100 * np.sin(np.linspace(0, np.pi * (i + 1), 64)) for i in range(first, first + count)]
    pixels = np.stack([np.tile(wave, (64, 1)) for wave in waves]).astype(np.uint8)
    return Pictures(pixels, [f"chest x-ray with {i + 1} bars" for i in range(first, first + count)])


@pytest.fixture(name="bars", scope="session")
def bars_() -> Callable[..., Pictures]:
    return draw_bars


@pytest.fixture
def trainer(random_model: Path) -> Callable[..., Trainer]:
    """`trainer(**fields)`: the miniature under a small recipe with these fields changed."""

    def make(pictures: Pictures | None = None, classes: Pictures | None = None, **fields) -> Trainer:
        others = {name: fields.pop(name) for name in ("recipe", "ranks") if name in fields}
        config = FinetuneConfig(**(SMALL | fields))
        return Trainer(load_base(random_model), config, pictures or draw_bars(12), classes, **others)

    return make


@pytest.fixture
def losses() -> Callable[[Trainer, int], list[float]]:
    return lambda trainer, steps: [trainer.step()["loss"] for _ in range(steps)]
