"""A second hospital on phantoms: what lives on a mark of the scanner falls there, what does not stays."""

import functools
from pathlib import Path

import numpy as np
import pytest

from cxr.classify.config import ClassifyConfig
from cxr.data.catalog import CatalogSet
from cxr.data.lineage import PHANTOM
from cxr.embedded.phantoms import Phantom, draw_phantom
from cxr.prompts.findings import BINARY
from cxr.store import open_store
from cxr.study import finish, job
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.results import MAIN, External
from cxr.study.sets import load

SIZE, TRAIN, VALIDATION, TEST = 32, 180, 60, 90


@functools.cache
def phantoms(seed: int, count: int) -> list[Phantom]:
    return [draw_phantom(seed, number, BINARY, SIZE) for number in range(count)]


def draw(
    stored_set, name: str, seed: int, count: int, marked: tuple[float, float], far: bool = False, **more
) -> CatalogSet:
    """Phantoms with a bright corner in so many of the normal and of the other pictures; those from `far` away have less
    contrast and a quarter of the findings."""
    rng = np.random.default_rng(seed)
    found = phantoms(seed, 2 * count if far else count)
    if far:
        found = [one for one in found if one.attributes.findings[0] == BINARY[0] or rng.random() < 0.33][:count]
    findings = [one.attributes.findings[0] for one in found]
    pixels = np.stack([one.pixels for one in found])
    if far:
        pixels = (30 + 0.7 * pixels).astype(np.uint8)
    with_mark = rng.random(len(found)) < np.array([marked[BINARY.index(name)] for name in findings])
    pixels[with_mark, 1:6, 1:6] = 255
    patients = [f"{name}{one.patient.patient_id}" for one in found]
    return stored_set(name, pixels, finding=findings, patient_id=patients, source=[PHANTOM] * len(found), **more)


@pytest.fixture(scope="module", params=[True, False], ids=["marked", "unmarked"])
def elsewhere(
    request: pytest.FixtureRequest, stored_set, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bool, External]:
    """A study of two arms with three seeds: the real pictures, marked with the finding or by chance, and synthetic ones
    that know no mark."""
    marked, which = request.param, "marked" if request.param else "unmarked"
    split = ["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST
    shares = (0.03, 0.97) if marked else (0.5, 0.5)
    real = draw(stored_set, f"{which}-real", 1, len(split), shares, split=split)
    fake = draw(stored_set, f"{which}-fake", 2, TRAIN + 20, (0.5, 0.5), metrics={"patients_seen": []})
    far = draw(stored_set, f"{which}-far", 3, 130, (0.5, 0.5), far=True)
    network = ClassifyConfig(
        network="cnn", pretrained=False, resize=SIZE, size=SIZE, epochs=12, batch=32, learning_rate=2e-3, flip=False
    )
    arms = (Arm(name=BASELINE), Arm(name="synth_only", real=0, synthetic=100))
    config = StudyConfig(arms=arms, seeds=(1, 2, 3), classifier=network, resamples=100, allow_unchecked_copies=True)
    store = open_store(str(Path(tmp_path_factory.mktemp("study"))))
    ready = job.prepare(store, config, real, fake, None, None, external={"far": (far, None)})
    pixels = load(ready.sets, ready.used, SIZE, lambda count: None)
    for run in job.pending_trials(ready, 1):
        run(lambda told: None, pixels, ready.sets.labels[ready.used])
    [found] = finish.describe_study(ready, job.read_trials(ready)).external
    return marked, found


@pytest.mark.slow
def test_an_arm_that_lives_on_a_mark_falls_at_another_hospital_and_no_other(elsewhere: tuple[bool, External]) -> None:
    marked, found = elsewhere
    real, fake = found.arms
    print(
        {
            one.arm: (one.inside[MAIN].mean, one.metrics[MAIN].mean, one.drops[MAIN], one.extra_drop)
            for one in found.arms
        }
    )
    assert found.classes[BINARY[1]] < found.classes[BINARY[0]] / 2
    if marked:
        assert real.drops[MAIN].low > 0.1 and fake.drops[MAIN].low < 0 and fake.extra_drop.high < 0
        assert real.metrics[MAIN].mean < 0.8 < fake.metrics[MAIN].mean
    else:
        assert real.drops[MAIN].low < 0 and fake.extra_drop.high > 0 and real.metrics[MAIN].mean > 0.9
