"""Training a classifier on pictures held in memory, and asking it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cxr.classify.config import ClassifyConfig
from cxr.networks import to_input


def fit(
    model: nn.Module,
    pixels: np.ndarray,
    labels: np.ndarray,
    config: ClassifyConfig,
    rng: np.random.Generator,
    report: Callable[[dict[str, float]], None],
) -> None:
    """Trains in place with AdamW and a one-cycle rate; one report a step.

    Args:
        pixels: uint8 [N, H, W].
        labels: int64 [N], class numbers.
    """
    steps = config.epochs * (len(pixels) // config.batch)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    model.train()
    for _ in range(config.epochs):
        order = rng.permutation(len(pixels))
        for start in range(0, len(order) - config.batch + 1, config.batch):
            rows = order[start : start + config.batch]
            loss = F.cross_entropy(model(to_input(pixels[rows])), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            report({"loss": loss.item()})
    model.eval()


@torch.inference_mode()
def predict(model: nn.Module, pixels: np.ndarray, batch: int = 100) -> np.ndarray:
    """Class probabilities, float32 [N, classes], of uint8 [N, H, W]."""
    parts = [model(to_input(pixels[i : i + batch])).softmax(dim=1) for i in range(0, len(pixels), batch)]
    return torch.cat(parts).numpy()
