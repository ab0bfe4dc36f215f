"""The plan: the same input gives the same pictures' names, and nothing that does not matter changes them."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr import recipes
from cxr.artifact import recipe_digest
from cxr.data.labels import Vocabulary
from cxr.diffusion.config import SamplerConfig
from cxr.errors import BadInput
from cxr.generate import plan as module
from cxr.generate.config import GenerateConfig
from cxr.generate.plan import Plan, PlanReader, template_rows, with_metadata, write_plan
from cxr.prompts.findings import FINDINGS
from cxr.prompts.lists import PromptRow

CONFIG = GenerateConfig(sampler=SamplerConfig(batch=4), seed=5)
in_tmp = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def row(prompt: str, finding: str = "normal", negative: str = "", count: int = 1, seed: int | None = None) -> PromptRow:
    return PromptRow(prompt, finding, negative, count, seed)


def planned(folder: Path, rows: list[PromptRow], config: GenerateConfig = CONFIG, sampler_digest: str = "look") -> Plan:
    return write_plan(folder / "plan.parquet", rows, config, sampler_digest)


def table(plan: Plan) -> list[dict]:
    return pq.read_table(plan.path).to_pylist()


def ids(folder: Path, rows: list[PromptRow], config: GenerateConfig = CONFIG, sampler_digest: str = "look") -> set[str]:
    return {line["image_id"] for line in table(planned(folder, rows, config, sampler_digest))}


ELEVEN = [row(f"number {i}", ("normal", "pneumonia")[i % 2]) for i in range(11)]


def test_units_are_runs_of_one_batch_and_the_last_may_be_short(tmp_path: Path) -> None:
    plan = planned(tmp_path, ELEVEN)
    assert (plan.images, plan.units, plan.findings) == (11, 3, {"normal": 6, "pneumonia": 5})
    assert [line["unit"] for line in table(plan)] == [0] * 4 + [1] * 4 + [2] * 3
    assert [line["prompt"] for line in table(plan)] == [f"number {i}" for i in range(11)]


def test_a_shard_is_a_unit_of_1000(tmp_path: Path) -> None:
    plan = planned(tmp_path, [row("x", count=2500)], CONFIG.model_copy(update={"layout": "shards"}))
    assert plan.units == 3
    assert [line["unit"] for line in table(plan)] == [i // 1000 for i in range(2500)]


def test_a_seed_of_ones_own_counts_up(tmp_path: Path) -> None:
    lines = table(planned(tmp_path, [row("a", count=3, seed=100), row("b", seed=2**63 - 1)]))
    assert [line["seed"] for line in lines] == [100, 101, 102, 2**63 - 1]


def test_drawn_seeds_differ_from_picture_to_picture(tmp_path: Path) -> None:
    seeds = [line["seed"] for line in table(planned(tmp_path, [row("a", count=50), row("a"), row("b", count=50)]))]
    assert len(set(seeds)) == 101
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_one_prompt_twice_is_two_pictures_as_a_count_of_two(tmp_path: Path) -> None:
    assert ids(tmp_path, [row("a"), row("a")]) == ids(tmp_path, [row("a", count=2)])


def test_the_same_input_gives_the_same_plan(tmp_path: Path) -> None:
    first, second = planned(tmp_path, ELEVEN), write_plan(tmp_path / "again", ELEVEN, CONFIG, "look")
    assert first.digest == second.digest
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_recipe_keeps_its_plan(tmp_path: Path) -> None:
    """Of `generate tiny` with seed 0, as version 0.1 drew it up."""
    config = recipes.tiny()
    plan = planned(tmp_path, list(template_rows(config)), config)
    assert (plan.digest, plan.images) == ("9a53d9bcbcfaaa327d6d0b2529d285d5f16077e1b5d4ba494f4f39ac6938b2d6", 160)


def test_another_seed_negative_prompt_or_look_is_another_picture(tmp_path: Path) -> None:
    before = ids(tmp_path, ELEVEN)
    assert not before & ids(tmp_path, ELEVEN, CONFIG.model_copy(update={"seed": 6}))
    assert not before & ids(tmp_path, ELEVEN, sampler_digest="another model or sampler")
    assert not before & ids(tmp_path, [replace(r, negative_prompt="text") for r in ELEVEN])
    assert not before & ids(tmp_path, [replace(r, prompt=r.prompt + ".") for r in ELEVEN])


def test_another_finding_is_the_same_picture_but_another_plan(tmp_path: Path) -> None:
    other = [replace(r, finding="x") for r in ELEVEN]
    assert ids(tmp_path, other) == ids(tmp_path, ELEVEN)
    assert planned(tmp_path, other).digest != planned(tmp_path, ELEVEN).digest


def test_findings_exclude_each_other_unless_a_row_names_several(tmp_path: Path) -> None:
    one = planned(tmp_path, [row("a", "x"), row("b", "No_Finding"), row("c", "unlabelled")])
    assert one.vocabulary == Vocabulary(("No_Finding", "x"), exclusive=True)
    assert [(line["present"], line["absent"], line["uncertain"]) for line in table(one)] == [
        (["x"], ["No_Finding"], []),
        (["No_Finding"], ["x"], []),
        ([], [], []),
    ]
    several = planned(tmp_path, [row("a", "x+y"), row("b", "No_Finding"), row("c", "y")])
    assert several.vocabulary == Vocabulary(("x", "y"), exclusive=False)
    assert several.findings == {"x": 1, "y": 2, "No_Finding": 1}
    assert [(line["finding"], line["present"], line["absent"]) for line in table(several)] == [
        ("x+y", ["x", "y"], []),
        ("No_Finding", [], ["x", "y"]),
        ("y", ["y"], ["x"]),
    ]


def test_what_is_asked_for_besides_the_finding_is_in_the_plan_and_its_digest(tmp_path: Path) -> None:
    asked = {"absent": ("b",), "view": "PA", "sex": "F", "age": 58}
    plans = {}
    for leave_out in ("", *asked):
        known = {name: value for name, value in asked.items() if name != leave_out}
        plan = planned(tmp_path, [replace(row("a", "a"), **known)])
        [line] = table(plan)
        assert {name: line[name] for name in ("view", "sex", "age")} == {"view": None, "sex": None, "age": None} | {
            name: value for name, value in known.items() if name != "absent"
        }
        plans[plan.digest] = line["image_id"]
    assert len(plans) == 5 and len(set(plans.values())) == 1, "the same picture, other plans"


def test_a_set_of_known_vocabulary_names_its_absent_findings(tmp_path: Path) -> None:
    rows = [row("a", "x"), replace(row("b", "unlabelled"), absent=("y",)), row("c", "No_Finding")]
    plan = write_plan(tmp_path / "plan.parquet", rows, CONFIG, "look", Vocabulary(("x", "y", "z"), exclusive=False))
    assert [(line["finding"], line["present"], line["absent"]) for line in table(plan)] == [
        ("x", ["x"], ["y", "z"]),
        ("unlabelled", [], ["y"]),
        ("No_Finding", [], ["x", "y", "z"]),
    ]
    assert not plan.path.with_suffix(".draft").exists()


@in_tmp
@given(st.permutations(ELEVEN), st.integers(1, 11))
def test_names_depend_neither_on_order_nor_on_other_rows(tmp_path: Path, rows: list[PromptRow], some: int) -> None:
    named = {line["prompt"]: line["image_id"] for line in table(planned(tmp_path, ELEVEN))}
    for line in table(planned(tmp_path, rows[:some])):
        assert line["image_id"] == named[line["prompt"]]


def test_names_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    larger = CONFIG.model_copy(update={"sampler": SamplerConfig(batch=9)})
    assert ids(tmp_path, ELEVEN) == ids(tmp_path, ELEVEN, larger)


@pytest.mark.parametrize("rows", [[row("a", seed=3), row("a", seed=3)], [row("a", count=3, seed=1), row("a", seed=3)]])
def test_one_picture_asked_for_twice_is_one_clear_line(tmp_path: Path, rows: list[PromptRow]) -> None:
    with pytest.raises(BadInput, match="2 times for one picture: seed 3 with prompt 'a'") as caught:
        planned(tmp_path, [row("other"), *rows])
    assert "\n" not in str(caught.value)


def test_no_prompt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no image at all"):
        planned(tmp_path, [])


@pytest.mark.parametrize("batch", [1, 3, 4, 7, 256])
@pytest.mark.parametrize("images", [1, 10, 30, 31])
def test_units_read_one_by_one_are_the_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, images: int
) -> None:
    """Over several row groups, with a last unit that is short, in any order of reading."""
    monkeypatch.setattr(module, "GROUP_IMAGES", 12)
    config = CONFIG.model_copy(update={"sampler": SamplerConfig(batch=batch)})
    plan = planned(tmp_path, [row("a", count=images)], config)
    reader = PlanReader(plan.path, config.unit_images)
    units = [reader.rows(unit) for unit in range(plan.units)]
    assert [line for unit in units for line in unit] == table(plan)
    assert {line["unit"] for line in units[-1]} == {plan.units - 1}
    assert reader.rows(0) == units[0]


def test_the_first_of_each_finding(tmp_path: Path) -> None:
    plan = planned(tmp_path, [row(f"{f} {i}", f) for i in range(5) for f in ("a", "b", "c")] + [row("rare", "d")])
    found = PlanReader(plan.path, 4).first_of_each(["d", "a"], 3)
    assert {name: [line["prompt"] for line in lines] for name, lines in found.items()} == {
        "d": ["rare"],
        "a": ["a 0", "a 1", "a 2"],
    }


def test_the_stored_plan_says_whose_it_is_and_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_IMAGES", 4)
    plan = planned(tmp_path, ELEVEN)
    stored = tmp_path / "stored.parquet"
    stored.write_bytes(with_metadata(plan, {"b": 1, "a": [2]}))
    held = pq.read_schema(stored).metadata
    assert json.loads(held[b"cxr.recipe"]) == {"a": [2], "b": 1}
    assert held[b"cxr.recipe_digest"].decode() == recipe_digest({"a": [2], "b": 1})
    assert pq.read_table(stored).to_pylist() == table(plan)
    assert PlanReader(stored, 4).rows(2) == PlanReader(plan.path, 4).rows(2)
    assert stored.read_bytes() == with_metadata(plan, {"a": [2], "b": 1})


def test_templates_give_each_finding_its_share(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"per_finding": 3})
    lines = table(planned(tmp_path, list(template_rows(config)), config))
    assert [line["finding"] for line in lines] == [f for f in FINDINGS for _ in range(3)]
    assert len({line["prompt"] for line in lines}) == 30
