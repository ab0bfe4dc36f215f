"""The attacks on a model, from whom it was trained on to results: both ways, on models that remember or do not."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cxr.artifact.metrics import Promise
from cxr.audit import conduct_model
from cxr.audit.attacked import AttackedModel
from cxr.audit.config import AuditConfig
from cxr.audit.results import AttackResult
from tests.unit.audit.conftest import Remembering

PAIRS, CANARIES = 24, 40
CONFIG = AuditConfig(resamples=300)
PROMISE = "the promise of differential privacy"
PIXELS = np.random.default_rng(0).integers(0, 255, (2 * PAIRS + CANARIES, 8, 8), dtype=np.uint8)


@pytest.fixture
def attack(monkeypatch):
    """`attack(remembered, **changes)`: of a model that remembers this share of those that it was trained on, of these
    training and test patients, and canaries of whom half were trained on."""

    def run(
        remembered: float, canaries: int = CANARIES, pairs: int = PAIRS, promise: Promise | None = None
    ) -> dict[str, AttackResult]:
        rng, count = np.random.default_rng(1), 2 * pairs + canaries
        kept = np.arange(canaries) % 2 == 0
        parts = np.array(["train", "test"])[np.repeat([0, 1], pairs)].tolist()
        parts += ["train" if one else "left out" for one in kept]
        names = [f"patient-{row:03d}" for row in range(count)]
        rows = {name: [f"{name} {row:03d}" for row in range(count)] for name in ("image_id", "caption")}
        strata = {"finding": ["a"] * count, "view": ["PA"] * (2 * pairs) + ["AP"] * canaries}
        table = pa.table({**rows, **strata, "patient_id": names, "split": parts})
        known = {
            caption: int(PIXELS[row].sum())
            for row, (caption, part) in enumerate(zip(rows["caption"], parts, strict=True))
            if part == "train" and rng.random() < remembered
        }
        models = iter([Remembering({}), Remembering(known)])
        monkeypatch.setattr(conduct_model, "load_model", lambda base, tuned: next(models))
        nothing: Any = None
        drawn = dict(zip(names[2 * pairs :], kept.tolist(), strict=True))
        model = AttackedModel(nothing, nothing, nothing, table, drawn, promise)
        heard: list[int] = []
        found = conduct_model.attack_model(
            model, CONFIG, lambda rows: PIXELS[[int(name[-3:]) for name in rows["image_id"].to_pylist()]],
            lambda pictures: nullcontext(heard.append),
        )  # fmt: skip
        assert sum(heard) <= 2 * count  # each picture once for each model
        return {result.name.removeprefix("membership inference on the model, "): result for result in found}

    return run


def test_a_model_that_remembers_is_found_by_its_patients_and_its_canaries(attack):
    found = attack(remembered=1.0)
    names = ["by error against the base's", "by error", "by PIA", "canaries: patients left in or out by a coin"]
    assert list(found) == [*names, PROMISE] and found[names[0]].metrics["auc"] == 1
    assert {found[name].verdict for name in names} == {"leak found"}
    assert (found[names[3]].metrics["right"], found[names[3]].metrics["guesses"]) == (20, 20)


def test_a_model_that_remembers_nobody_is_not(attack):
    found = attack(remembered=0.0)
    assert found.pop(PROMISE).verdict == "not tested"
    assert {result.verdict for result in found.values()} <= {"not decided at this power", "no leak found at this power"}
    assert found["by error against the base's"].metrics["auc"] == 0.5  # the same score for all


def test_a_promise_that_canaries_break_is_a_leak_and_one_that_they_cannot_reach_is_not_called_kept(attack):
    """40 canaries of whom all are guessed show an epsilon of 1.8."""
    broken = attack(remembered=1.0, promise=Promise(epsilon=0.5, delta=1e-5))[PROMISE]
    assert broken.verdict == "leak found" and "the promise is broken" in broken.decision
    assert broken.metrics["epsilon"] > broken.metrics["promised_epsilon"] == 0.5
    kept = attack(remembered=0.0, promise=Promise(epsilon=0.5, delta=1e-5))[PROMISE]
    assert kept.verdict == "no leak found at this power" and kept.metrics["epsilon"] < 0.5
    assert "promises epsilon 0.5 (delta 1e-05); canaries show 0.00 or more" in kept.result
    for remembered in (0.0, 1.0):
        high = attack(remembered=remembered, promise=Promise(epsilon=8, delta=1e-5))[PROMISE]
        assert high.verdict == "not tested" and "40 canaries show an epsilon of 1.8" in high.reason and high.result
    without = attack(remembered=1.0, canaries=0, promise=Promise(epsilon=8, delta=1e-5))[PROMISE]
    assert "promises epsilon 8 (delta 1e-05), and had no canaries to check it by" in without.reason


def test_the_bound_is_of_the_promised_delta(attack):
    """A promise that may fail for one patient in a hundred is broken by more than one that never may."""
    strict, lax = (attack(1.0, promise=Promise(epsilon=0.1, delta=delta))[PROMISE] for delta in (1e-9, 1e-2))
    assert strict.metrics["epsilon"] > lax.metrics["epsilon"]


def test_too_few_pairs_and_no_canaries_say_why(attack):
    found = attack(remembered=1.0, pairs=19)
    reason = "only 19 training patients have a test patient like them in finding and view; 20 are needed"
    assert found["membership inference on the model"].reason == reason
    assert found["canaries: patients left in or out by a coin"].verdict == "leak found"
    without = attack(remembered=1.0, canaries=0)["canaries: patients left in or out by a coin"]
    assert without.decision == "not tested, because the model was trained without (cxr finetune --canaries)"
    both = attack(remembered=1.0, canaries=0, pairs=5)
    assert {result.verdict for result in both.values()} == {"not tested"}
