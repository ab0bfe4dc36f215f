"""A small classifier, the best of a few on the validation part: for measurements that need any good one."""

from collections.abc import Callable

import numpy as np
import torch

from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import LabelledImages, TrainedClassifier, TrainingPhase, predict_probabilities, train_classifier
from cxr.classify.task import Task

TRIES = 3
EPOCHS, IMAGES_SEEN = 15, 20_000  # seen in training: the fewer of both, but each picture twice
FEW_SEEN = 3_500  # where the train part is small it is shown more often, until so many are seen
BATCH = 32

LabelledArrays = tuple[np.ndarray, np.ndarray]  # uint8 [N, size, size] and the targets of a task
Predict = Callable[[np.ndarray], np.ndarray]  # uint8 [N, size, size] to probabilities float32 [N, outputs]


def train_best_of(
    train_part: LabelledArrays,
    validation: LabelledArrays,
    task: Task,
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> Predict:
    """What the classifier of `train_best` predicts."""
    config = best_of_config(len(train_part[0]), train_part[0].shape[1])
    best = train_best(train_part, validation, task, seed, advance)
    return lambda pictures: predict(best, pictures, config, task)


def train_best(
    train_part: LabelledArrays,
    validation: LabelledArrays,
    task: Task,
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> TrainedClassifier:
    """Of `TRIES` networks with other first weights and orders, the one that does best on the validation part."""
    config = best_of_config(len(train_part[0]), train_part[0].shape[1])
    tries = [train_one(train_part, validation, config, task, seed + number, advance) for number in range(TRIES)]
    return max(tries, key=lambda found: task.rank(found.curve[found.best]))


def train_one(
    train_part: LabelledArrays,
    validation: LabelledArrays,
    config: ClassifyConfig,
    task: Task,
    seed: int,
    advance: Callable[[], object],
) -> TrainedClassifier:
    """One network of `config`, which sees each picture of the train part `config.epochs` times."""
    count = len(train_part[0])
    pixels, targets = (np.concatenate(both) for both in zip(train_part, validation, strict=True))
    rows = np.arange(len(pixels))
    phases = [TrainingPhase(rows[:count], config.steps(count))]
    pictures = LabelledImages(pixels, targets, rows[count:])
    return train_classifier(pictures, phases, config, task, seed, lambda _: advance())


def small_config(epochs: int, size: int = 128, batch: int = 64) -> ClassifyConfig:
    """The small network on pictures as they are."""
    return ClassifyConfig(
        network="cnn", resize=size, size=size, crop_scale=(1, 1), flip=False, rotation=0, jitter=0, epochs=epochs,
        batch=batch, learning_rate=2e-3,
    )  # fmt: skip


def best_of_config(count: int, size: int = 128) -> ClassifyConfig:
    """For so many pictures. Turned and cropped a little: with 108 phantoms AUROC is 0.92 and not 0.79."""
    altered = {"crop_scale": (0.8, 1.0), "rotation": 10, "jitter": 0.1}
    return small_config(choose_epochs(count), size, BATCH).model_copy(update=altered)


def choose_epochs(count: int) -> int:
    return max(2, min(max(EPOCHS, FEW_SEEN // count), IMAGES_SEEN // count))


def count_steps(count: int) -> int:
    """How often `train_best_of` of so many pictures advances."""
    return TRIES * best_of_config(count).steps(count)


def predict(found: TrainedClassifier, pictures: np.ndarray, config: ClassifyConfig, task: Task) -> np.ndarray:
    """Probabilities float32 [N, outputs]; on a GPU where this process has one."""
    network = found.network.to("cuda" if torch.cuda.is_available() else "cpu")
    return predict_probabilities(network, pictures, np.arange(len(pictures)), config, task)
