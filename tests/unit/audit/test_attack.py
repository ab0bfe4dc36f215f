"""The whole attack: of a model over-fitted on a few phantoms, and one of as many steps on all of them, the first is
found by the patients nearest to its pictures, by its errors and by its canaries; version 0.1's search for
near-duplicates finds nothing in either."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from cxr.artifact import read_record, verify
from cxr.data.catalog import CatalogSet
from cxr.data.lineage import LINEAGE
from cxr.store import open_store
from tests.words import parse_options

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
TRAIN, VALIDATION, TEST, SIZE = 112, 8, 60, 64
CANARIES, COINS = 36, 7  # by this seed the coin leaves about half of them in, of either model
PICTURES = 192
SHARES = {"over-fitted": 45, "usual": 100}  # percent of the training patients
TRAINING = {
    "method": "dreambooth",
    "max_train_steps": 1000,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warmup": 20,
}
FEW = {
    "size": SIZE, "false_alarms": 0.02, "permutations": 501, "resamples": 500, "planted": 5, "shown": 0,
    "canary_images": 0, "max_patients": 30,
}  # fmt: skip


@pytest.fixture(scope="module")
def real(stored_set) -> CatalogSet:
    """Phantoms, each of another patient."""
    from cxr.embedded.phantoms import draw_phantom

    count = TRAIN + VALIDATION + TEST
    pixels = np.stack([draw_phantom(21, 3 * number, size=SIZE).pixels for number in range(count)])
    columns = {
        "finding": ["a", "b"] * (count // 2), "patient_id": [f"patient-{row}" for row in range(count)],
        "view": ["PA"] * count, "split": ["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST,
    }  # fmt: skip
    return stored_set("real", pixels, **columns)


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


def sample(model: Path, name: str, stored_set) -> CatalogSet:
    from cxr.diffusion.config import SamplerConfig
    from cxr.diffusion.sampler import Sampler

    findings = ["a", "b"] * (PICTURES // 2)
    sampler = Sampler.load(model, None, SamplerConfig(size=SIZE, steps=20, guidance=1.0))
    pixels = sampler([f"chest X-ray showing {finding}" for finding in findings], [""] * PICTURES, range(PICTURES))
    lineage = read_record(open_store(str(model))).metrics[LINEAGE]  # as cxr generate writes it: who was shown
    return stored_set(name, pixels, finding=findings, metrics={LINEAGE: lineage})


@pytest.fixture(scope="module")
def synthetic(real, stored_set, tmp_path_factory) -> dict[str, tuple[Path, CatalogSet]]:
    """Each model, and pictures that it made."""
    made = {}
    for name, share in SHARES.items():
        place = tmp_path_factory.mktemp("models") / name
        train(real, place, patients=share, canaries=CANARIES, seed=COINS, **TRAINING)
        made[name] = place, sample(place, name, stored_set)
    return made


@pytest.fixture(scope="module")
def audits(real, synthetic, tmp_path_factory) -> dict[str, Path]:
    """An audit of each."""
    audit, found = importlib.import_module("cxr.jobs.audit"), {}
    for name, (model, pictures) in synthetic.items():
        found[name] = tmp_path_factory.mktemp("audits") / name
        uris = {"real": real.store.uri, "synthetic": pictures.store.uri, "model": model, "out": found[name]}
        audit.main(parse_options(audit, **uris, **FEW))
    return found


@pytest.fixture(scope="module")
def results(audits) -> dict[str, dict[str, dict]]:
    """Of each audit every test by its name."""
    found = {name: json.loads((place / "audit.json").read_text("utf-8"))["tests"] for name, place in audits.items()}
    for name, tests in found.items():
        for test in tests:
            print(name, test["name"], test["verdict"], test["reason"], test["result"])
    return {name: {test["name"]: test for test in tests} for name, tests in found.items()}


def test_the_nearest_patients_tell_the_over_fitted_model(results):
    found, usual = (results[name]["nearest patient, by details"] for name in SHARES)
    assert found["verdict"] == "leak found" and found["metrics"]["share"] > 0.7
    assert usual["verdict"] == "no leak found at this power" and usual["metrics"]["share"] < 0.7
    assert all(test["metrics"]["placebo_p"] > 0.01 for test in (found, usual))


def test_its_errors_tell_the_over_fitted_model(results):
    found, usual = (
        {by: results[name][f"membership inference on the model, by {by}"] for by in ("error against the base's", "PIA")}
        for name in SHARES
    )
    best = "error against the base's"
    assert found[best]["verdict"] == "leak found" and found[best]["metrics"]["auc"] > 0.75
    assert {test["verdict"] for test in usual.values()} == {"not decided at this power"}
    assert usual[best]["metrics"]["auc"] < 0.7
    assert all(0.25 < test["metrics"]["placebo_auc"] < 0.75 for test in [*found.values(), *usual.values()])


def test_its_canaries_bound_its_epsilon(results):
    found, usual = (results[name]["canaries: patients left in or out by a coin"] for name in SHARES)
    assert found["verdict"] == "leak found" and found["metrics"]["epsilon"] > 0.2
    assert usual["verdict"] == "no leak found at this power" and usual["metrics"]["epsilon"] < 0.2


def test_the_search_of_version_0_1_tells_nothing_of_either(real, synthetic):
    """Today's quick screen of an evaluation."""
    from cxr.evaluate.calibration import calibrate, count_copies
    from cxr.evaluate.config import EvaluateConfig
    from cxr.evaluate.sets import load_images

    config = EvaluateConfig(size=SIZE)
    ours = load_images(real, config, lambda count: None)
    known = calibrate(ours, config.calibration, np.random.default_rng(0))
    found = {}
    for name, (_, pictures) in synthetic.items():
        made = load_images(pictures, config, lambda count: None)
        found[name] = count_copies(known, made.labels, known.index.nearest(made.read(np.arange(PICTURES))))
        print(name, found[name].rate, found[name].most_by_chance)
    assert not any(copies.beyond_chance for copies in found.values())


def test_the_audit_is_whole_and_its_summary_names_nobody(audits):
    for place in audits.values():
        assert verify(open_store(str(place))).clean
        page = (place / "index.html").read_text(encoding="utf-8")
        assert "membership inference on the model, by PIA" in page and "patients a side" in page
        assert "patient-" not in (place / "summary.json").read_text(encoding="utf-8")
    assert (
        json.loads((audits["over-fitted"] / "summary.json").read_text())["risks"]["inference"]["verdict"]
        == "leak found"
    )
