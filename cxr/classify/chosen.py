"""A small classifier for when any good one will do: a few are trained, the best on the validation part is kept."""

from collections.abc import Callable

import numpy as np
import torch

from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import fit, predict
from cxr.networks import SmallCnn

TRIES = 3
EPOCHS, PICTURES = 15, 20_000  # seen in training: the fewer of both, but each picture twice
BATCH = 32

Labelled = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, W] and class numbers int [N]


def learn(
    train: Labelled, validation: Labelled, seed: int, advance: Callable[[], object] = lambda: None
) -> Callable[[np.ndarray], np.ndarray]:
    """Of `TRIES` networks with other first weights and orders, the one that names most of the validation part.

    Returns:
        uint8 [N, H, W] to class numbers int [N].
    """
    pixels, labels = train
    networks, hits = [], []
    for number in range(TRIES):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            network = SmallCnn(int(labels.max()) + 1)
        fit(network, pixels, labels, settings(len(pixels)), np.random.default_rng([seed, number]), lambda _: advance())
        networks.append(network)
        hits.append((named(network, validation[0]) == validation[1]).mean())
    return lambda pictures: named(networks[int(np.argmax(hits))], pictures)


def settings(count: int) -> ClassifyConfig:
    return ClassifyConfig(epochs=max(2, min(EPOCHS, PICTURES // count)), batch=min(BATCH, count))


def steps(count: int) -> int:
    """How often `learn` of so many pictures advances."""
    config = settings(count)
    return TRIES * config.epochs * (count // config.batch)


def named(network: SmallCnn, pictures: np.ndarray) -> np.ndarray:
    return predict(network, pictures).argmax(axis=1)
