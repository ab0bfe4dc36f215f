"""One trial: trains on the pictures it was given, chooses by validation, is tested once."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr.classify.config import ClassifyConfig
from cxr.errors import BadInput, StoreError
from cxr.store import Store
from cxr.study.arms import shuffle_labels
from cxr.study.results import Trial, read_trial, trial_json, trial_key

if TYPE_CHECKING:
    from cxr.classify.curve import ValidationPoint
    from cxr.ranks import Ranks

TRIES = 3  # at a trial that fails by itself
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrialSpec:
    """A trial as it travels to a worker; rows count in the pictures that all trials share."""

    arm: str
    seed: int
    phases: list[tuple[np.ndarray, int]]  # rows, optimiser steps
    real: int  # distinct pictures
    synthetic: int
    shuffled: np.ndarray | None = None  # rows whose labels are dealt out anew among them
    generator: int = 0

    @property
    def name(self) -> str:
        return f"{self.arm}/{self.seed}"

    @property
    def steps(self) -> int:
        return sum(steps for _, steps in self.phases)


@dataclass(frozen=True)
class TrialWorker:
    """Trains one trial on a worker, where it travels without pictures."""

    store: Store
    recipe: str  # digest of the study's, which a result carries
    spec: TrialSpec
    classes: int
    validation: np.ndarray  # rows
    test: np.ndarray
    config: ClassifyConfig
    operating_point: str
    optimism: bool
    threads: int
    external: Mapping[str, np.ndarray] = field(default_factory=dict)  # rows of each external set

    def __call__(self, tell: Tell, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Trains and stores the result, unless it is there; what fails by itself is tried again, then reported."""
        import torch

        from cxr.ranks import Ranks

        torch.set_num_threads(self.threads)
        ranks, key = Ranks.here(), trial_key(self.spec.arm, self.spec.seed)
        if read_trial(self.store, key, self.recipe):
            return None
        for attempt in range(1, TRIES + 1):
            try:
                trial = self.train(tell if ranks.rank == 0 else ignored, pixels, labels, ranks)
                break
            except StoreError:
                raise
            except Exception as failure:
                if ranks.size > 1 and not isinstance(failure, BadInput):
                    raise  # the others wait for this one: all must begin anew
                if attempt == TRIES or isinstance(failure, BadInput):
                    return tell({"name": self.spec.name, "error": f"{type(failure).__name__}: {failure}"})
        if ranks.rank == 0:
            self.store.put_if_absent(key, trial_json(trial, self.recipe))  # the first of several drivers' stays
            tell({"name": self.spec.name, "step": trial.steps, "auroc": trial.curve[trial.best].auroc, "done": True})
        return None

    def train(self, tell: Tell, pixels: np.ndarray, labels: np.ndarray, ranks: "Ranks") -> Trial:
        from cxr.classify.loop import LabelledImages, TrainingPhase, predict_probabilities, train_classifier
        from cxr.classify.operating_point import OperatingPoint, choose_operating_point
        from cxr.classify.task import task_of
        from cxr.ranks import device_name

        def watch(point: "ValidationPoint | None") -> None:
            if point:
                tell({"name": self.spec.name, "step": point.step, "auroc": point.auroc})

        start, spec = time.monotonic(), self.spec
        if spec.shuffled is not None:
            labels = shuffle_labels(labels, spec.shuffled, spec.seed)
        pictures = LabelledImages(pixels, labels, self.validation, self.test if self.optimism else None)
        phases = [TrainingPhase(*phase) for phase in spec.phases]
        exclusive = labels.ndim == 1
        task = task_of(self.classes, exclusive)
        trained = train_classifier(pictures, phases, self.config, task, spec.seed, watch, ranks)
        validated, scores = (
            predict_probabilities(trained.network, pixels, rows, self.config, task)
            for rows in (self.validation, self.test)
        )
        point = OperatingPoint()  # as they come: several findings have none
        if exclusive:
            point = choose_operating_point(validated, labels[self.validation], self.operating_point)
        external = {
            name: rounded(predict_probabilities(trained.network, pixels, rows, self.config, task))
            for name, rows in self.external.items()
        }
        return Trial(
            spec.arm, spec.seed, spec.real, spec.synthetic, spec.steps, trained.best, trained.curve,
            rounded(scores), device_name(), time.monotonic() - start, point.temperature, point.threshold, external,
            spec.generator,
        )  # fmt: skip


def ignored(message: dict[str, Any]) -> None:
    """What a worker that is not the first has to say."""


def rounded(scores: np.ndarray) -> list[list[float]]:
    """Seven significant digits: all that float32 has."""
    return [[float(f"{value:.7g}") for value in row] for row in scores.tolist()]
