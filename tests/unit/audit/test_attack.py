"""The whole attack: a model that was over-fitted on a few phantoms is found, one of a usual training is not."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from cxr.artifact import verify
from cxr.store import open_store
from tests.words import parse_options

pytestmark = pytest.mark.slow
TRAIN, VALIDATION, TEST, SIZE = 24, 4, 24, 64
FEW = {"size": SIZE, "false_alarms": 0.1, "permutations": 101, "resamples": 500, "planted": 5, "shown": 0}
TRAININGS = {
    "over-fitted": {"method": "dreambooth", "max_train_steps": 320, "learning_rate": 1e-3, "schedule": "constant"},
    "usual": {"method": "lora", "max_train_steps": 12, "learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def sets(stored_set) -> dict:
    """Phantoms of as many patients, and others' in the place of synthetic ones."""
    from cxr.embedded.phantoms import draw_phantom

    count = TRAIN + VALIDATION + TEST
    pixels = np.stack([draw_phantom(21, 3 * number, size=SIZE).pixels for number in range(count)])
    others = np.stack([draw_phantom(22, 3 * number, size=SIZE).pixels for number in range(12)])
    columns = {
        "finding": ["a", "b"] * (count // 2), "patient_id": [f"patient-{row}" for row in range(count)],
        "view": ["PA"] * count, "split": ["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST,
    }  # fmt: skip
    return {"real": stored_set("real", pixels, **columns), "synthetic": stored_set("other", others, finding=["a"] * 12)}


@pytest.fixture(scope="module")
def audits(sets, tmp_path_factory) -> dict[str, Path]:
    """An audit of each training."""
    from cxr.finetune import finish, job
    from cxr.finetune.config import FinetuneConfig
    from cxr.finetune.worker import FinetuneWorker

    audit, found = importlib.import_module("cxr.jobs.audit"), {}
    for name, fields in TRAININGS.items():
        place = tmp_path_factory.mktemp("models") / name
        few = {"validation_images": 2, "test_images": 2, "sampling_steps": 1, "validate_every": 1000}
        config = FinetuneConfig(model="tiny", size=SIZE, captions="instance", **few, **fields)
        ready = job.prepare(open_store(str(place)), sets["real"], config, lambda line: None)
        ready.begin(ready.plan)
        places = {"store": ready.store, "data": sets["real"].store, "distance": lambda: lambda a, b: 0.0}
        FinetuneWorker(config=config, recipe=ready.recipe, run="final", threads=1, **places)(lambda told: None)
        ready.make(lambda ready=ready: finish.complete(ready, {"total": 1.0}))
        found[name] = tmp_path_factory.mktemp("audits") / name
        uris = {name: data.store.uri for name, data in sets.items()}
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
