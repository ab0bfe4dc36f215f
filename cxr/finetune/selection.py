"""Which checkpoint is the best, and when waiting for a better one ends."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cxr.errors import BadInput
from cxr.finetune.config import Metric

HIGHER_IS_BETTER = {"ssim": True, "psnr": True, "mse": False, "kid": False}


@dataclass
class Selection:
    """The best validation so far by one metric."""

    metric: Metric
    patience: int  # validations without a better one before it is exhausted; 0: never
    step: int | None = None
    best: float | None = None
    waited: int = 0
    last: bool = False  # takes the last checkpoint, whatever its score, so that nobody chooses

    @property
    def exhausted(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience

    def update(self, step: int, scores: Mapping[str, float]) -> bool:
        """Whether what was validated after `step` is to be kept: the best so far, or the last.

        Raises:
            BadInput: the validation does not measure the metric, or it is not a number.
        """
        value = scores.get(self.metric)
        if value is None or math.isnan(value):
            raise BadInput(f"--select {self.metric}: {value} after step {step}; known there: {', '.join(scores)}")
        better = self.best is None or (value > self.best if HIGHER_IS_BETTER[self.metric] else value < self.best)
        if better or self.last:
            self.step, self.best, self.waited = step, value, 0
            return True
        self.waited += 1
        return False

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)
