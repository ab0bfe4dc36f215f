"""Several trainings of a generator: another one is part of what an interval holds, and is not where it is ignored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr.data.catalog import CatalogSet
from cxr.errors import BadInput
from cxr.jobs.study import synthetic_places
from cxr.store import open_store
from cxr.study import finish, job
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.differences import Measurements, difference, over_generators, spread_of
from cxr.study.influence import MetricWithInfluence
from cxr.study.results import MAIN
from cxr.study.sets import load, match_sets
from cxr.study.statistics import estimate
from tests.unit.study.conftest import CLASSES
from tests.unit.study.test_external import FAST

STUDIES, PATIENTS = 1000, 60


def simulate(rng: np.random.Generator, generators: int, seeds: int, of_generator: float) -> Measurements:
    """An arm whose truth is 0.8: generators, seeds and patients each add to it, patients in part by the generator."""
    number = np.arange(seeds) % generators
    shared, by_generator = rng.normal(size=PATIENTS), rng.normal(size=(generators, PATIENTS))
    effects = 0.15 * shared + 0.05 * by_generator[number] + 0.05 * rng.normal(size=(seeds, PATIENTS))
    levels = 0.8 + of_generator * rng.normal(size=generators)[number] + 0.01 * rng.normal(size=seeds)
    components = (effects - effects.mean(axis=1, keepdims=True)) / PATIENTS
    metrics = [
        {MAIN: MetricWithInfluence(float(level + own.mean()), parts, 0.0)}
        for level, own, parts in zip(levels, effects, components, strict=True)
    ]
    return Measurements([*range(seeds)], metrics, np.zeros((seeds, 2)), tuple(number.tolist()))


def held(generators: int, seeds: int, of_generator: float, known: bool) -> float:
    """The share of studies whose interval holds the truth."""
    rng, found = np.random.default_rng(generators), 0
    for _ in range(STUDIES):
        arm = simulate(rng, generators, seeds, of_generator)
        values, components = arm.of(MAIN)
        measured = over_generators(values, components, arm) if known else (values, components)
        low, high = estimate(*measured).interval()
        found += low <= 0.8 <= high
    return found / STUDIES


@pytest.mark.parametrize(("generators", "seeds"), [(3, 6), (4, 10), (5, 5)])
@pytest.mark.parametrize("of_generator", [0.03, 0.0])
def test_intervals_hold_the_truth_of_a_new_training_of_the_generator(generators, seeds, of_generator) -> None:
    assert held(generators, seeds, of_generator, known=True) >= 0.93


def test_seeds_of_one_generator_taken_for_independent_do_not() -> None:
    assert held(3, 12, 0.05, known=False) < 0.85


def test_an_arm_of_one_generator_is_measured_as_ever() -> None:
    arm = simulate(np.random.default_rng(0), 1, 5, 0.0)
    other = simulate(np.random.default_rng(1), 1, 5, 0.0)
    first, second = (replace(one, generators=None) for one in (arm, other))
    assert difference(arm, other, BASELINE, MAIN, 0.05) == difference(first, second, BASELINE, MAIN, 0.05)
    metrics = [one[MAIN] for one in arm.metrics]
    assert spread_of(metrics, arm.generators) == spread_of(metrics)
    several = spread_of(metrics, (0, 1, 2, 0, 1))
    assert several.sd != spread_of(metrics).sd


CONFIG = StudyConfig(arms=(Arm(name=BASELINE), Arm(name="synth_50", synthetic=50)), seeds=(4, 5, 6), classifier=FAST,
                     resamples=100, allow_unchecked_copies=True)  # fmt: skip


@pytest.fixture(scope="module")
def second_set(stored_set) -> CatalogSet:
    pixels = np.random.default_rng(22).integers(0, 256, (48, 32, 32), dtype=np.uint8)
    return stored_set("second", pixels, finding=CLASSES * 24, metrics={"patients_seen": []})


def test_each_seed_takes_the_set_of_one_training_in_turn(real_set, synthetic_set, second_set, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    ready = job.prepare(store, CONFIG, real_set, synthetic_set, None, None, further=[second_set])
    assert ready.recipe["further"] == [second_set.digest]
    sides = [set(ready.sets.split[ready.draws["synth_50", seed].synthetic]) for seed in CONFIG.seeds]
    assert sides == [{"synthetic"}, {"synthetic 2"}, {"synthetic"}]
    specs = job.trial_specs(ready, np.arange(len(ready.sets.labels)))
    assert [(spec.arm, spec.generator) for spec in specs] == [(BASELINE, 0)] * 3 + [("synth_50", n) for n in (0, 1, 0)]
    pixels = load(ready.sets, ready.used, 32, lambda count: None)
    for run in job.pending_trials(ready, 1):
        run(lambda told: None, pixels, ready.sets.labels[ready.used])
    study = finish.describe_study(ready, job.read_trials(ready))
    assert any(
        line.startswith("2 trainings of the generator stand behind synthetic, synthetic 2") for line in study.notes
    )
    assert not any("Only one generator run" in line for line in study.notes)
    assert [one.arms for one in study.sources if one.name.startswith("synthetic")] == [["synth_50"]] * 2
    values = [study.arms[1].of_seeds[seed][MAIN] for seed in CONFIG.seeds]
    assert study.arms[1].metrics[MAIN].mean == pytest.approx(((values[0] + values[2]) / 2 + values[1]) / 2)


def test_with_one_training_the_answer_is_conditional_on_it(real_set, synthetic_set, tmp_path: Path) -> None:
    ready = job.prepare(open_store(str(tmp_path / "out")), CONFIG, real_set, synthetic_set, None, None)
    assert "further" not in ready.recipe
    [line] = finish.describe_generators(ready.sets)
    assert "Only one generator run stands behind the set 'synthetic': the answer is conditional on it" in line


def test_trainings_that_are_one_or_more_than_seeds_are_refused(real_set, synthetic_set, second_set) -> None:
    with pytest.raises(BadInput, match="the same set stands twice"):
        match_sets(real_set, synthetic_set, CONFIG, further=[synthetic_set])
    with pytest.raises(BadInput, match="2 sets for 1 seeds"):
        match_sets(real_set, synthetic_set, CONFIG.model_copy(update={"seeds": (1,)}), further=[second_set])


def test_places_of_several_trainings_and_of_single_arms() -> None:
    assert synthetic_places(["a", "synth_50=b", "s3://c/d"]) == (["a", "s3://c/d"], {"synth_50": "b"})
    with pytest.raises(BadInput, match="synth_50 would have two sets"):
        synthetic_places(["synth_50=b", "synth_50=c"])
