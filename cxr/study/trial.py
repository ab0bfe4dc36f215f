"""One trial: trains on the pictures it was given, chooses by validation, is tested once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import Phase, predict, train
from cxr.errors import BadInput, StoreError
from cxr.ranks import Ranks
from cxr.store import Store
from cxr.study.results import Trial, read_trial, trial_json

TRIES = 3  # at a trial that fails by itself


@dataclass(frozen=True)
class Order:
    """A trial as it travels to a worker; rows count in the pictures that all trials share."""

    arm: str
    seed: int
    phases: list[Phase]
    real: int  # distinct pictures
    synthetic: int

    @property
    def name(self) -> str:
        return f"{self.arm}/{self.seed}"

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


def trial_key(name: str) -> str:
    return f"trials/{name}/result.json"


@dataclass(frozen=True)
class Run:
    """A worker's part; travels to it without pictures."""

    store: Store
    recipe: str  # digest of the study's, which a result carries
    order: Order
    classes: int
    validation: np.ndarray
    test: np.ndarray
    config: ClassifyConfig
    optimism: bool
    threads: int

    def __call__(self, tell: Callable[[dict[str, Any]], None], pixels: np.ndarray, labels: np.ndarray) -> None:
        """Trains and stores the result, unless it is there; what fails by itself is tried again, then told."""
        import torch

        torch.set_num_threads(self.threads)
        if read_trial(self.store, trial_key(self.order.name), self.recipe):
            return
        for attempt in range(1, TRIES + 1):
            try:
                self.train(tell, pixels, labels)
                break
            except (BadInput, StoreError):
                raise
            except Exception as failure:
                if attempt == TRIES:
                    tell({"name": self.order.name, "error": f"{type(failure).__name__}: {failure}"})

    def train(self, tell: Callable[[dict[str, Any]], None], pixels: np.ndarray, labels: np.ndarray) -> None:
        start, ranks = time.monotonic(), Ranks.here()
        first = ranks.rank == 0
        order = self.order

        def watch(point) -> None:
            if first:
                tell({"name": order.name, "step": point.step, "auroc": point.auroc})

        trained = train(
            pixels, labels, order.phases, self.validation, self.config, self.classes, order.seed, watch,
            test_rows=self.test if self.optimism else None, ranks=ranks,
        )  # fmt: skip
        scores = predict(trained.network, pixels, self.test, self.config)
        trial = Trial(
            arm=order.arm, seed=order.seed, real=order.real, synthetic=order.synthetic, steps=order.steps,
            best=trained.best, curve=trained.curve, scores=rounded(scores), device=trained.device,
            seconds=time.monotonic() - start,
        )  # fmt: skip
        if first:
            self.store.put(trial_key(order.name), trial_json(trial, self.recipe))
            tell({"name": order.name, "step": order.steps, "auroc": trained.curve[trained.best].auroc, "done": True})


def rounded(scores: np.ndarray) -> list[list[float]]:
    """Seven significant digits: all that float32 has."""
    return [[float(f"{value:.7g}") for value in row] for row in scores.tolist()]
