"""The bound of epsilon: coins give none, a training that shows its canaries gives a high one, and never too high."""

from dataclasses import replace

import numpy as np
import pytest

from cxr.audit.config import AuditConfig
from cxr.audit.epsilon import bound_epsilon, chance, detectable_share, guess_canaries
from cxr.audit.judge_model import judge_canaries

LIMITS = AuditConfig()


def draw(rng: np.random.Generator, shift: float, canaries: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and whom a coin left in; these have higher ones."""
    trained = rng.random(canaries) < 0.5
    return rng.normal(size=canaries) + shift * trained, trained


def test_coins_are_called_a_leak_within_the_limit_and_bound_nothing():
    """Of 400 null audits 4 have p < 0.01 in the mean, and 20 a bound above 0; 13 and 34 come in 1 of 1,000 lots."""
    rng = np.random.default_rng(0)
    found = [guess_canaries(*draw(rng, 0)) for _ in range(400)]
    assert sum(test.p < 0.01 for test in found) <= 12 and sum(test.epsilon > 0 for test in found) <= 33
    assert 0.47 < np.mean([test.right / test.guesses for test in found]) < 0.53


def test_canaries_that_show_are_found():
    found = guess_canaries(*draw(np.random.default_rng(0), 5))
    assert (found.right, found.guesses) == (30, 30) and found.p < 1e-8 and 2.0 < found.epsilon < 2.3
    assert found.epsilon == found.highest
    judged = judge_canaries(found, LIMITS)
    assert judged.verdict == "leak found" and "epsilon is 2.2" in judged.result and "60 canaries" in judged.power
    none = judge_canaries(guess_canaries(*draw(np.random.default_rng(1), 0)), LIMITS)
    assert none.verdict == "no leak found at this power" and none.metrics["epsilon"] < 0.5


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_the_bound_is_above_the_truth_no_more_often_than_it_says(epsilon: float):
    """Randomised response is epsilon-private and gives away as much as that allows: each answer tells a coin."""
    right = np.random.default_rng(1).binomial(100, 1 / (1 + np.exp(-epsilon)), 400)
    numbers, place = np.unique(right, return_inverse=True)
    bounds = np.array([bound_epsilon(200, 100, int(number)) for number in numbers])[place]
    assert np.mean(bounds > epsilon) <= 0.07 and np.mean(bounds) > 0.2 * epsilon


def test_as_the_binomial_says():
    assert chance(60, 30, 30, 0.0) == pytest.approx(2**-30, abs=0.0013)  # delta allows a little more
    assert bound_epsilon(60, 30, 15) == 0 and bound_epsilon(60, 30, 0) == 0
    right = [bound_epsilon(60, 30, number) for number in range(20, 31)]
    assert right == sorted(right) and right[-1] == pytest.approx(
        np.log(0.05 ** (1 / 30) / (1 - 0.05 ** (1 / 30))), abs=0.1
    )


def test_the_share_that_it_says_it_finds_is_found():
    share = detectable_share(30, 0.01)
    found = [chance(60, 30, int(right), 0.0) for right in np.random.default_rng(2).binomial(30, share, 300)]
    assert 0.7 < share < 0.85 and 0.72 < np.mean(np.array(found) < 0.01 + 0.002) < 0.9
    assert detectable_share(10, 0.01) > share and np.isinf(detectable_share(4, 0.01))


def test_the_noise_of_a_private_training_keeps_its_promise_and_a_tenth_of_it_does_not():
    """Patients whose gradients have nothing in common, of whom each step's sum tells as much as it can."""
    import torch

    from cxr.finetune.config import FinetuneConfig
    from cxr.finetune.privacy import PatientDraws, plan_privacy
    from cxr.finetune.private_trainer import clip_patients

    private = FinetuneConfig(epsilon=1, delta=1e-5, batch=30, max_train_steps=4)
    privacy = plan_privacy(private, 30)  # all are in each step

    def attack(seed: int, share: float) -> float:
        """The bound, of four steps with this share of the noise that the promise takes."""
        trained = np.random.default_rng(seed).random(60) < 0.5
        draws = PatientDraws(replace(privacy, sigma=share * privacy.sigma), np.arange(60), seed)
        gradients, seen = 3 * torch.eye(60)[np.flatnonzero(trained)], np.zeros(60)
        for step in range(4):
            seen += clip_patients([gradients], privacy.bound)[0].sum(dim=0).numpy() + draws.noise(step, [(60,)])[0]
        return guess_canaries(seen, trained, privacy.delta).epsilon

    assert np.mean([attack(seed, 1.0) > 1 for seed in range(40)]) <= 0.05
    assert np.mean([attack(seed, 0.1) > 1 for seed in range(20)]) >= 0.9
