"""Classifiers of the real set stay with the evaluation: another one of the same real set takes them, and trains none.

A classifier's key is a digest of all that it follows from: pictures, labels, settings, seed and torch. So it is found
where it would come out the same, and nowhere else.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from cxr.classify.best_of import LabelledArrays, Predict, best_of_config, count_steps, predict, train_best
from cxr.classify.classifiers import build_classifier
from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import TrainedClassifier
from cxr.classify.task import Task
from cxr.errors import BadInput
from cxr.evaluate.worker import CLASSIFIERS, Earlier
from cxr.store import Store, sha256


@dataclass
class KeptClassifiers:
    """Of one evaluation.

    Args:
        store: its own, which has them where it was begun before.
        earlier: a finished one that may have them.
    """

    store: Store
    earlier: Earlier | None
    found: dict[str, bytes] = field(default_factory=dict)  # files by key, to be stored with the evaluation

    def train(
        self, train_part: LabelledArrays, validation: LabelledArrays, task: Task, seed: int,
        advance: Callable[[int], object],
    ) -> Predict:  # fmt: skip
        """The classifier of `train_best_of`, from where it is kept or trained; `advance` counts `count_steps` in all.

        Raises:
            BadInput: an object of the earlier evaluation is damaged.
        """
        count, size = len(train_part[0]), train_part[0].shape[1]
        config = best_of_config(count, size)
        key = classifier_key(train_part, validation, config, task, seed)
        if (data := self.read(key)) is not None:
            network = build_classifier(config, task.outputs)
            network.load_state_dict(load(data))
            classifier = TrainedClassifier(network.eval(), [], 0)
            advance(count_steps(count))
        else:
            classifier = train_best(train_part, validation, task, seed, lambda: advance(1))
            data = save({name: value.cpu() for name, value in classifier.network.state_dict().items()})
        self.found[key] = data
        return lambda pictures: predict(classifier, pictures, config, task)

    def read(self, key: str) -> bytes | None:
        try:
            return checked(self.store.get(key))
        except (KeyError, SafetensorError):
            pass
        if self.earlier is None or key not in self.earlier.classifiers:
            return None
        data = self.earlier.store.get(key)
        if sha256(data) != self.earlier.classifiers[key]:
            raise BadInput(f"{self.earlier.store.uri}: {key} is not what its record names; leave out --features")
        return data


def checked(data: bytes) -> bytes:
    """Raises `SafetensorError` where it is no whole file."""
    load(data)
    return data


def classifier_key(
    train_part: LabelledArrays, validation: LabelledArrays, config: ClassifyConfig, task: Task, seed: int
) -> str:
    """Where a classifier is kept that was trained on this, in this way."""
    arrays = [np.ascontiguousarray(array) for part in (train_part, validation) for array in part]
    parts = [[str(array.dtype), list(array.shape), sha256(array.tobytes())] for array in arrays]
    how = [config.model_dump(mode="json"), type(task).__name__, task.outputs, seed, torch.__version__]
    return f"{CLASSIFIERS}{sha256(json.dumps([parts, how]).encode())[:32]}.safetensors"
