"""The whole attack: a model that was over-fitted on a few phantoms is found, one of a usual training is not; by its
canaries too."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cxr.artifact import verify
from cxr.data.catalog import CatalogSet
from cxr.store import open_store
from tests.words import parse_options

pytestmark = pytest.mark.slow
TRAIN, VALIDATION, TEST, SIZE = 24, 4, 24, 64
FEW = {"size": SIZE, "false_alarms": 0.1, "permutations": 101, "resamples": 500, "planted": 5, "shown": 0}
TRAININGS = {
    "over-fitted": {"method": "dreambooth", "max_train_steps": 320, "learning_rate": 1e-3, "schedule": "constant"},
    "usual": {"method": "lora", "max_train_steps": 12, "learning_rate": 1e-3},
}
LONGER = {"over-fitted": {"max_train_steps": 480}}  # with canaries
CANARIES, COINS = 40, 7  # by this seed 19 of them are left in, about as many of each finding


@pytest.fixture(scope="module")
def sets(stored_set) -> dict[str, CatalogSet]:
    """Phantoms of as many patients; the same with more to train on, for canaries; others in the place of synthetic
    ones."""
    from cxr.embedded.phantoms import draw_phantom

    def draw(name: str, train: int) -> CatalogSet:
        count = train + VALIDATION + TEST
        pixels = np.stack([draw_phantom(21, 3 * number, size=SIZE).pixels for number in range(count)])
        columns = {
            "finding": ["a", "b"] * (count // 2), "patient_id": [f"patient-{row}" for row in range(count)],
            "view": ["PA"] * count, "split": ["train"] * train + ["validation"] * VALIDATION + ["test"] * TEST,
        }  # fmt: skip
        return stored_set(name, pixels, **columns)

    others = np.stack([draw_phantom(22, 3 * number, size=SIZE).pixels for number in range(12)])
    synthetic = stored_set("other", others, finding=["a"] * 12)
    return {"real": draw("real", TRAIN), "canaried": draw("canaried", CANARIES + 4), "synthetic": synthetic}


def train(real: CatalogSet, place: Path, **fields: object) -> None:
    from cxr.finetune import finish, job
    from cxr.finetune.config import FinetuneConfig
    from cxr.finetune.worker import FinetuneWorker

    few = {"validation_images": 2, "test_images": 2, "sampling_steps": 1, "validate_every": 1000}
    config = FinetuneConfig(model="tiny", size=SIZE, captions="instance", **few, **fields)
    ready = job.prepare(open_store(str(place)), real, config, lambda line: None)
    ready.begin(ready.plan)
    places = {"store": ready.store, "data": real.store, "distance": lambda: lambda a, b: 0.0}
    FinetuneWorker(config=config, recipe=ready.recipe, run="final", threads=1, **places)(lambda told: None)
    ready.make(lambda: finish.complete(ready, {"total": 1.0}))


@pytest.fixture(scope="module")
def audits(sets, tmp_path_factory) -> dict[str, Path]:
    """An audit of each training."""
    audit, found = importlib.import_module("cxr.jobs.audit"), {}
    for name, fields in TRAININGS.items():
        place, found[name] = tmp_path_factory.mktemp("models") / name, tmp_path_factory.mktemp("audits") / name
        train(sets["real"], place, **fields)
        uris = {name: sets[name].store.uri for name in ("real", "synthetic")}
        audit.main(parse_options(audit, **uris, model=place, out=found[name], **FEW))
    return found


def read_tests(place: Path) -> dict[str, dict]:
    tests = json.loads((place / "audit.json").read_text(encoding="utf-8"))["tests"]
    return {test["name"].partition(", by ")[2]: test for test in tests if "membership" in test["name"]}


def test_the_over_fitted_model_is_found_and_the_usual_one_is_not(audits):
    found, usual = (read_tests(audits[name]) for name in TRAININGS)
    for by, test in (found | {f"usual {by}": test for by, test in usual.items()}).items():
        print(by, test["verdict"], test["result"])
    best = "error against the base's"
    assert found[best]["verdict"] == "leak found" and found[best]["metrics"]["auc"] > 0.75
    assert {test["verdict"] for test in usual.values()} == {"not decided at this power"}
    assert usual[best]["metrics"]["auc"] < 0.7
    assert all(0.25 < test["metrics"]["placebo_auc"] < 0.75 for test in (found | usual).values())


def test_canaries_of_the_over_fitted_model_bound_epsilon_and_those_of_the_usual_one_do_not(sets, tmp_path):
    from cxr.audit.attacked import AttackedModel, find_attacked
    from cxr.audit.conduct_model import attack_model
    from cxr.audit.config import AuditConfig
    from cxr.data.catalog import read_images
    from cxr.data.lineage_lists import read_lists_option

    @contextmanager
    def follow(count: int) -> Iterator:
        yield lambda done: None

    found, real = {}, sets["canaried"]
    unknown = SimpleNamespace(record=SimpleNamespace(inputs={}))  # a synthetic set of whose model nothing is known
    for name, fields in TRAININGS.items():
        place = str(tmp_path / name)
        train(real, Path(place), canaries=CANARIES, seed=COINS, **{**fields, **LONGER.get(name, {})})
        model = find_attacked(place, None, real, unknown, read_lists_option("--model", place))
        assert isinstance(model, AttackedModel) and sum(model.canaries.values()) == 19
        results = attack_model(model, AuditConfig(resamples=100), partial(read_images, real.store, size=SIZE), follow)
        found[name] = next(test for test in results if test.name.startswith("canaries"))
    assert found["over-fitted"].verdict == "leak found" and found["over-fitted"].metrics["epsilon"] > 0.2
    assert found["usual"].verdict == "no leak found at this power" and found["usual"].metrics["epsilon"] == 0


def test_the_audit_is_whole_and_its_summary_names_nobody(audits):
    for place in audits.values():
        assert verify(open_store(str(place))).clean
        page = (place / "index.html").read_text(encoding="utf-8")
        assert "membership inference on the model, by PIA" in page and "24 patients a side" in page
        assert "patient-" not in (place / "summary.json").read_text(encoding="utf-8")
    assert (
        json.loads((audits["over-fitted"] / "summary.json").read_text())["risks"]["inference"]["verdict"]
        == "leak found"
    )
