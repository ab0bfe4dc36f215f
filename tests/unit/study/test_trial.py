"""A trial in this process: what it leaves, what is tried again, and what is told when it is given up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr.classify import loop
from cxr.classify.config import ClassifyConfig
from cxr.errors import BadInput, StoreError
from cxr.store import open_store
from cxr.study.results import read_trial, trial_key
from cxr.study.trial import TRIES, TrialSpec, TrialWorker

KEY = trial_key("baseline", 3)
CONFIG = ClassifyConfig(network="cnn", resize=32, size=32, epochs=2, batch=8, learning_rate=2e-3)
LABELS = np.arange(40) % 2
PIXELS = np.where(LABELS[:, None, None] == 1, 200, 50) + np.random.default_rng(0).integers(0, 50, (40, 32, 32))


@pytest.fixture
def run(tmp_path: Path) -> TrialWorker:
    spec = TrialSpec("baseline", 3, [(np.arange(24), 6)], real=24, synthetic=0)
    store, parts = open_store(str(tmp_path)), {"validation": np.arange(24, 32), "test": np.arange(32, 40)}
    return TrialWorker(
        store, "recipe", spec, 2, **parts, config=CONFIG, operating_point="youden", optimism=True, threads=1
    )


def called(run: TrialWorker) -> list[dict]:
    told: list[dict] = []
    run(told.append, PIXELS.astype(np.uint8), LABELS)
    return told


def test_a_trial_leaves_its_curve_and_the_scores_of_every_test_picture(run: TrialWorker) -> None:
    told = called(run)
    trial = read_trial(run.store, KEY, "recipe")
    assert (trial.arm, trial.seed, trial.steps, len(trial.curve)) == ("baseline", 3, 6, 2)
    assert np.allclose(np.sum(trial.scores, axis=1), 1) and len(trial.scores) == 8
    assert all(point.test_auroc is not None for point in trial.curve)
    assert [news["step"] for news in told] == [3, 6, 6] and told[-1]["done"]


def test_shuffled_labels_are_dealt_out_among_these_pictures_for_training_alone(
    run: TrialWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = [], loop.train_classifier

    def watched(pictures, *words, **named):
        seen.append(pictures.targets)
        return real(pictures, *words, **named)

    monkeypatch.setattr(loop, "train_classifier", watched)
    called(replace(run, spec=replace(run.spec, shuffled=np.arange(24))))
    assert sorted(seen[0][:24]) == sorted(LABELS[:24]) and (seen[0][:24] != LABELS[:24]).any()
    assert (seen[0][24:] == LABELS[24:]).all()


def test_a_finished_trial_is_not_run_again(run: TrialWorker) -> None:
    called(run)
    before = run.store.get(KEY)
    assert called(run) == [] and run.store.get(KEY) == before


def test_what_fails_by_itself_is_tried_again(run: TrialWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = loop.train_classifier, []

    def fails_once(*words, **named):
        calls.append(1)
        if len(calls) < TRIES:
            raise RuntimeError("the driver of the GPU hiccupped")
        return real(*words, **named)

    monkeypatch.setattr(loop, "train_classifier", fails_once)
    assert called(run)[-1]["done"] and len(calls) == TRIES


@pytest.mark.parametrize(("error", "tries"), [(RuntimeError("gone"), TRIES), (BadInput("step 4: no number"), 1)])
def test_what_stays_broken_is_given_up_and_told(
    run: TrialWorker, monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    calls = []

    def fails(*words, **named):
        calls.append(1)
        raise error

    monkeypatch.setattr(loop, "train_classifier", fails)
    assert called(run) == [{"name": "baseline/3", "error": f"{type(error).__name__}: {error}"}]
    assert len(calls) == tries and not run.store.exists(KEY)


def test_trouble_with_the_store_ends_the_job(run: TrialWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words, **named):
        raise StoreError("disk full")

    monkeypatch.setattr(loop, "train_classifier", full)
    with pytest.raises(StoreError):
        called(run)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"recipe": "other"}', "of another recipe"),
        (b'{"recipe": "recipe", "arm": 3}', "is damaged"),
        (b"{", "is damaged"),
        (b"[]", "is damaged"),
        (b"{}", "is damaged"),
    ],
)
def test_a_result_that_is_not_ours_is_refused(run: TrialWorker, data: bytes, told: str) -> None:
    run.store.put(KEY, data)
    with pytest.raises(BadInput, match=told):
        read_trial(run.store, KEY, "recipe")
