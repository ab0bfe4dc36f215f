"""Which units are made until enough pictures are accepted, whatever happens on the way."""

import numpy as np
import pytest

from cxr.diffusion.config import SamplerConfig
from cxr.generate.config import GenerateConfig
from cxr.generate.plan import template_rows, write_plan
from cxr.generate.quota import next_units, units_by_finding, within_quota
from cxr.recipes import replace_fields

SIZE, QUOTA = 4, 20
RUNS = {"a": range(30), "b": range(30, 60)}


def verdicts(share: float, seed: int) -> dict[int, np.ndarray]:
    """Of all pictures that could be made, by unit."""
    draw = np.random.default_rng(seed)
    return {unit: draw.random(SIZE) < share for units in RUNS.values() for unit in units}


def set_of(truth: dict[int, np.ndarray], made: set[int]) -> dict[str, int]:
    """How many pictures of each finding belong to the set, the others beyond the quota or never made."""
    runs = {name: np.concatenate([truth[unit] for unit in units if unit in made]) for name, units in RUNS.items()}
    return {name: within_quota(run, QUOTA) for name, run in runs.items()}


def run_job(truth: dict[int, np.ndarray], rng: np.random.Generator | None = None) -> tuple[set[int], int]:
    """The units made, and in how many rounds; with `rng` the job is killed again and again when some are made."""
    accepted: dict[int, int] = {}
    rounds = 0
    while todo := next_units(RUNS, accepted, (), QUOTA, SIZE):
        rounds += 1
        done = todo if rng is None else rng.permutation(todo)[: rng.integers(1, len(todo) + 1)].tolist()
        accepted |= {unit: int(truth[unit].sum()) for unit in done}
    return set(accepted), rounds


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_the_set_does_not_depend_on_rounds_and_kills(share: float) -> None:
    for seed in range(10):
        truth = verdicts(share, seed)
        expected = set_of(truth, set(truth))
        made, _ = run_job(truth)
        assert set_of(truth, made) == expected
        assert set_of(truth, run_job(truth, np.random.default_rng(seed))[0]) == expected


def test_each_finding_has_its_quota_or_all_its_candidates_are_made() -> None:
    often, seldom = verdicts(0.6, 1), verdicts(0.05, 2)
    truth = {unit: (often if unit < 30 else seldom)[unit] for unit in often}
    made, rounds = run_job(truth)
    count = set_of(truth, made)["a"]
    run = np.concatenate([truth[unit] for unit in RUNS["a"]])
    assert run[:count].sum() == QUOTA and run[count - 1]
    assert set(RUNS["b"]) <= made and sum(truth[unit].sum() for unit in RUNS["b"]) < QUOTA
    assert rounds < 8 and len(made & set(RUNS["a"])) < 15  # 33 pictures are needed, and not 120


def test_no_more_is_made_than_is_needed_where_all_are_accepted() -> None:
    assert run_job(verdicts(1.0, 0)) == ({*range(5), *range(30, 35)}, 1)


def test_a_unit_that_cannot_be_made_is_left_out_and_the_next_is_made() -> None:
    assert next_units({"a": range(4)}, {0: 4}, {1}, 8, 4) == [2]
    assert next_units({"a": range(4)}, {0: 4, 2: 4}, {1}, 8, 4) == []
    assert next_units({"a": range(4)}, {0: 4, 2: 4}, (), 8, 4) == [1]  # killed before it was there


def test_candidates_of_a_finding_fill_whole_units(tmp_path) -> None:
    config = GenerateConfig(findings="Normal_Anatomy,Medical_Devices", sampler=SamplerConfig(batch=4))
    filtered = replace_fields(config, filter={"accept": "label", "quota": 5, "tries": 1.5}).with_candidates
    assert filtered.per_finding == 8 and config.with_candidates is config
    plan = write_plan(tmp_path / "plan.parquet", template_rows(filtered), filtered, "look")
    assert units_by_finding(plan) == {"Normal_Anatomy": range(2), "Medical_Devices": range(2, 4)}
