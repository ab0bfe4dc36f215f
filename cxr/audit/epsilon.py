"""A lower bound of epsilon from one training, by guessing which canaries were trained on (Steinke, Nasr and Jagielski
2023, arXiv:2305.08846, theorem 5.2 and appendix D).

Each canary was left in or out by a fair coin. If the training is (epsilon, delta)-differentially private, guesses are
right no more often than coins that show the right side with e^epsilon / (1 + e^epsilon), but for what delta allows. So
many right guesses rule a small epsilon out. Nobody has to guess where the model says little: the surest half counts.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from cxr.audit.config import POWER

CONFIDENCE = 0.95
DELTA = 1e-5  # where the training promises no other
MOST = 50.0  # epsilon; more is never shown


@dataclass(frozen=True)
class CanaryTest:
    """What guessing came to."""

    canaries: int
    guesses: int
    right: int
    p: float  # that coins are guessed as well by chance
    epsilon: float  # lower bound with CONFIDENCE
    delta: float  # that it goes with

    @property
    def highest(self) -> float:
        """The bound if all guesses were right."""
        return bound_epsilon(self.canaries, self.guesses, self.guesses, self.delta)


def guess_canaries(scores: np.ndarray, trained: np.ndarray, delta: float = DELTA) -> CanaryTest:
    """Takes the highest quarter of the scores for canaries that were trained on, and the lowest for others.

    Args:
        scores: float [N], of patients, each higher where the model shows more of a training; trained: bool [N].
    """
    quarter, order = len(scores) // 4, np.argsort(scores, kind="stable")
    right = int(trained[order[-quarter:]].sum() + (~trained[order[:quarter]]).sum())
    p = float(binom.sf(right - 1, 2 * quarter, 0.5))
    bound = bound_epsilon(len(scores), 2 * quarter, right, delta)
    return CanaryTest(len(scores), 2 * quarter, right, p, bound, delta)


def chance(canaries: int, guesses: int, right: int, epsilon: float, delta: float = DELTA) -> float:
    """How often so many guesses or more are right, at most, if the training is (epsilon, delta)-differentially
    private."""
    share = 1 / (1 + np.exp(-epsilon))
    likely = np.cumsum(binom.pmf(right - np.arange(1, right + 1), guesses, share))
    worst = float(np.max(likely / np.arange(1, right + 1), initial=0.0))
    return float(min(binom.sf(right - 1, guesses, share) + 2 * canaries * delta * worst, 1.0))


def bound_epsilon(canaries: int, guesses: int, right: int, delta: float = DELTA) -> float:
    """The least epsilon that so many right guesses do not rule out with CONFIDENCE; 0 where they rule out none."""

    def excess(epsilon: float) -> float:
        return chance(canaries, guesses, right, epsilon, delta) - (1 - CONFIDENCE)

    if excess(0.0) >= 0:
        return 0.0
    return float(brentq(excess, 0.0, MOST)) if excess(MOST) > 0 else MOST


def detectable_share(guesses: int, max_p: float) -> float:
    """The least share of right guesses, in the mean, that passes the limit with `POWER`; infinite where none does."""
    needed = int(np.sum(binom.sf(np.arange(guesses + 1) - 1, guesses, 0.5) >= max_p))
    share = np.linspace(0.5, 1, 501)
    found = binom.sf(needed - 1, guesses, share) >= POWER
    return float(share[found][0]) if found.any() else np.inf
