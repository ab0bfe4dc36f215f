"""The share of right labels by a classifier that errs itself: found where it was planted, and 1 where all are right."""

import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from cxr.artifact.quality import PromptAccuracies
from cxr.data.prompt_accuracy import PromptAccuracy, prompt_accuracies, read_accuracies, record_accuracies
from cxr.evaluate import label_classifier
from cxr.evaluate.label_classifier import see

pytestmark = pytest.mark.usefixtures("few_draws")
FINDINGS = ("mass", "normal", "pneumonia")


@pytest.fixture(scope="module")
def few_draws():
    """No test asks for the intervals of AUROCs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_classifier, "RESAMPLES", 2)
        yield


def agreement(right: float, sensitivity: float, seed: int, pictures: int = 400) -> PromptAccuracies:
    """As an evaluation measures it, where a share `right` of the pictures shows what was asked for and the rest another
    finding, by a classifier that is wrong in `1 - sensitivity` of all pictures."""
    rng = np.random.default_rng(seed)
    asked = np.repeat(np.arange(3), pictures)

    def other(numbers: np.ndarray, share: float) -> np.ndarray:
        """A share of the numbers stays, the others are another one of the three."""
        return np.where(rng.random(len(numbers)) < share, numbers, (numbers + rng.integers(1, 3, len(numbers))) % 3)

    names = np.array(FINDINGS)[asked]
    labels = (names[:, None] == np.array(FINDINGS)).astype(np.float32)
    sides = [
        see(FINDINGS, None, FINDINGS, labels, np.eye(3)[other(shown, sensitivity)], rng)
        for shown in (other(asked, right), asked)
    ]
    found = label_classifier.PromptAccuracies(FINDINGS, *sides)
    return PromptAccuracies.model_validate_json(TypeAdapter(type(found)).dump_json(found, by_alias=True))


@pytest.mark.parametrize("sensitivity", [0.6, 0.8, 1.0])
@pytest.mark.parametrize("right", [0.0, 0.25, 0.6, 1.0])
def test_the_share_of_right_labels_is_found_whatever_the_classifier_is_worth(right: float, sensitivity: float) -> None:
    found = [one.right for seed in range(5) for one in prompt_accuracies(agreement(right, sensitivity, seed))]
    assert len(found) == 15 and abs(np.mean(found) - right) < 0.05
    assert max(abs(np.array(found) - right)) < 0.2


@pytest.mark.slow
def test_a_set_that_shows_what_was_asked_is_hardly_ever_below_half() -> None:
    """Of 60 pictures a finding, named by a classifier that is right in 70 %: the null."""
    worst = [min(one.right for one in prompt_accuracies(agreement(1.0, 0.7, seed, pictures=60))) for seed in range(200)]
    assert np.mean(np.array(worst) < 0.5) <= 0.01


def test_none_of_sixty_is_none() -> None:
    assert PromptAccuracy("pneumonia", 0, 60, 0.9, 0.05).right == 0.0


@pytest.mark.parametrize("alarms", [0.45, 0.6])
def test_a_classifier_that_cannot_tell_says_so(alarms: float) -> None:
    one = PromptAccuracy("pneumonia", 3, 60, 0.6, alarms)
    assert one.right is None and "too alike to say" in str(one)


def test_one_finding_alone_is_held_against_its_own_sensitivity() -> None:
    every = agreement(1.0, 0.8, 1)
    synthetic, real = (
        side.model_copy(update={"findings": {"mass": side.findings["mass"]}, "counts": side.counts[:1]})
        for side in (every.synthetic, every.real)
    )
    [one] = prompt_accuracies(every.model_copy(update={"synthetic": synthetic, "real": real}))
    assert one.false_alarms is None and one.right > 0.9 and "of others" not in str(one)


def test_a_shared_set_tells_no_count_of_real_pictures() -> None:
    found = prompt_accuracies(agreement(0.5, 0.8, 1))
    told = json.loads(json.dumps(record_accuracies(found)))
    assert {key for one in told for key in one} == {"finding", "seen", "total", "sensitivity", "false_alarms"}
    assert all(round(one["sensitivity"], 2) == one["sensitivity"] for one in told)
    assert all(abs(a.right - b.right) < 0.02 for a, b in zip(found, read_accuracies(told), strict=True))
    assert prompt_accuracies(None) == read_accuracies(None) == []
