"""A small classifier for when any good one will do: a few are trained, the best on the validation part is kept."""

from collections.abc import Callable

import numpy as np
import torch

from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import Phase, Pictures, Trained, predict, train

TRIES = 3
EPOCHS, PICTURES = 15, 20_000  # seen in training: the fewer of both, but each picture twice
BATCH = 32

Labelled = tuple[np.ndarray, np.ndarray]  # uint8 [N, size, size] and class numbers int [N]


def learn(
    train_part: Labelled, validation: Labelled, seed: int, advance: Callable[[], object] = lambda: None
) -> Callable[[np.ndarray], np.ndarray]:
    """Of `TRIES` networks with other first weights and orders, the one that names most of the validation part.

    Returns:
        uint8 [N, size, size] to class numbers int [N].
    """
    pixels, _ = train_part
    config = plain(epochs(len(pixels)), pixels.shape[1], BATCH)
    tries = [trained(train_part, validation, config, seed + number, advance) for number in range(TRIES)]
    best = max(tries, key=lambda found: found.curve[found.best].accuracy)
    return lambda pictures: named(best, pictures, config)


def trained(
    train_part: Labelled, validation: Labelled, config: ClassifyConfig, seed: int, advance: Callable[[], object]
) -> Trained:
    """One network of `config`, which sees each picture of the train part `config.epochs` times."""
    count = len(train_part[0])
    pixels, labels = (np.concatenate(both) for both in zip(train_part, validation, strict=True))
    rows = np.arange(len(pixels))
    phases = [Phase(rows[:count], config.steps(count))]
    return train(
        Pictures(pixels, labels, rows[count:]), phases, config, int(labels.max()) + 1, seed, lambda _: advance()
    )


def plain(epochs: int, size: int = 128, batch: int = 64) -> ClassifyConfig:
    """The small network on pictures as they are."""
    return ClassifyConfig(
        network="cnn", resize=size, size=size, crop_scale=(1, 1), flip=False, rotation=0, jitter=0, epochs=epochs,
        batch=batch, learning_rate=2e-3,
    )  # fmt: skip


def epochs(count: int) -> int:
    return max(2, min(EPOCHS, PICTURES // count))


def steps(count: int) -> int:
    """How often `learn` of so many pictures advances."""
    return TRIES * plain(epochs(count), batch=BATCH).steps(count)


def named(found: Trained, pictures: np.ndarray, config: ClassifyConfig) -> np.ndarray:
    """In any process: on a GPU where that one has one."""
    network = found.network.to("cuda" if torch.cuda.is_available() else "cpu")
    return predict(network, pictures, np.arange(len(pictures)), config).argmax(axis=1)
