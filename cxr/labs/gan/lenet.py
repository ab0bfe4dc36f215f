"""LeNet-5: trained on the real train part, chosen on the validation part, asked what pictures show."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from cxr.classify.small_cnn import pixels_to_input
from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.networks import LeNet5
from cxr.labs.gan.real import Real


def fit_lenet(real: Real, config: GanConfig, report: Callable[[dict[str, float]], None]) -> LeNet5:
    """The network as it was after the epoch that names most of the validation part; one report an epoch."""
    (pixels, labels), validation = real.part("train"), real.part("validation")
    size, rng = min(config.lenet_batch_size, len(pixels)), np.random.default_rng([config.seed, 1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        lenet = LeNet5(len(real.classes))
    optimizer = torch.optim.Adam(lenet.parameters(), config.lenet_learning_rate)
    steps = config.lenet_epochs * (len(pixels) // size)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lenet_learning_rate, total_steps=steps)
    best, chosen = -1.0, lenet
    for _ in range(config.lenet_epochs):
        order = rng.permutation(len(pixels))
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            loss = F.cross_entropy(lenet(pixels_to_input(pixels[rows])), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
        named = accuracy(lenet, *validation)
        report({"validation_accuracy": named})
        if named >= best:
            best, chosen = named, copy.deepcopy(lenet)
    return chosen


@torch.inference_mode()
def predict(lenet: LeNet5, pixels: np.ndarray, batch: int = 500) -> np.ndarray:
    """Class probabilities, float32 [N, classes], of uint8 [N, 28, 28]."""
    parts = [lenet(pixels_to_input(pixels[i : i + batch])).softmax(dim=1) for i in range(0, len(pixels), batch)]
    return torch.cat(parts).numpy()


def accuracy(lenet: LeNet5, pixels: np.ndarray, labels: np.ndarray) -> float:
    return float((predict(lenet, pixels).argmax(axis=1) == labels).mean())
