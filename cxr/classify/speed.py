"""How fast a classifier trains and predicts on this machine: a few steps of it on noise, for forecasts."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import LabelledImages, TrainingPhase, predict_probabilities, train_classifier
from cxr.classify.task import Task

FEATURES = 1024  # of a frozen network, about
STEPS = 5  # that are timed; one before them loads and warms up


@dataclass(frozen=True)
class Speed:
    step: float  # seconds
    prediction: float  # seconds a picture


def measure_speed(config: ClassifyConfig, task: Task) -> Speed:
    """Of a classifier of this configuration, with its batch, network and size of pictures."""
    outputs, times = task.outputs, []
    config = config.model_copy(update={"epochs": 1})
    rows = np.arange(max(config.batch, 2 * outputs))
    rng = np.random.default_rng(0)
    pixels: np.ndarray = rng.integers(0, 256, (len(rows), config.resize, config.resize), np.uint8)
    if config.frozen:
        pixels = rng.standard_normal((len(rows), FEATURES), np.float32)
    labels = task.targets(np.eye(outputs, dtype=np.float32)[rows % outputs])
    trained = train_classifier(
        LabelledImages(pixels, labels, rows[: 2 * outputs]), [TrainingPhase(rows, STEPS + 1)], config, task, seed=0,
        watch=lambda point: times.append(finish_time()),
    )  # fmt: skip
    start = time.perf_counter()
    predict_probabilities(trained.network, pixels, rows, config, task)
    return Speed(float(np.median(np.diff(times))), (time.perf_counter() - start) / len(rows))


def finish_time() -> float:
    """Now, when all that was asked of a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
