"""Recipes by name, and single fields changed from the command line."""

import pytest

from cxr.cli import find_recipe
from cxr.errors import BadInput
from cxr.prompts.findings import parse_findings
from cxr.recipes import EVALUATE, FINETUNE, GENERATE, replace_fields
from cxr.weights import check_spec, network_and_place


def test_fid_is_of_more_pictures_than_inception_has_features() -> None:
    assert EVALUATE["inception"]().max_samples > 2048


@pytest.mark.parametrize("name", GENERATE)
def test_every_recipe_is_complete(name: str) -> None:
    config = GENERATE[name]()
    check_spec(config.model)
    assert parse_findings(config.findings)
    assert config == GENERATE[name]()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tinny", "tiny"), ("SD15", "sd15"), ("sd-21", "sd21"), ("quux", "known: tiny, tiny_fast, sd15")],
)
def test_an_unknown_recipe_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(BadInput, match=f"no recipe is called '{name}'; .*{hint}"):
        find_recipe(GENERATE, name)


def test_fields_of_the_set_and_of_its_sampler_are_changed_alike() -> None:
    before = GENERATE["tiny"]()
    after = replace_fields(before, seed=9, steps=4, layout="shards")
    assert (after.seed, after.sampler.steps, after.layout) == (9, 4, "shards")
    assert (after.sampler.guidance, after.sampler.size, after.model) == (before.sampler.guidance, 128, "tiny")
    assert before == GENERATE["tiny"]()


def test_no_change_is_no_change() -> None:
    config = GENERATE["sd15"]()
    assert replace_fields(config) == config


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"per_finding": 0}, r"--per-finding '0': .*greater than or equal to 1"),
        ({"per_finding": -5}, r"--per-finding '-5': "),
        ({"per_finding": 10**12}, r"--per-finding '1000000000000': .*less than or equal to"),
        ({"seed": -1}, r"--seed '-1': "),
        ({"seed": 2**63}, r"--seed '9223372036854775808': "),
        ({"batch": 0}, r"--batch '0': "),
        ({"steps": 10**9}, r"--steps '1000000000': "),
        ({"size": 100}, r"--size '100': .*multiple of 8"),
        ({"guidance": float("nan")}, r"--guidance 'nan': "),
        ({"layout": "tar"}, r"--layout 'tar': .*'folder' or 'shards'"),
    ],
)
def test_a_value_out_of_range_names_its_option(fields: dict, line: str) -> None:
    with pytest.raises(BadInput, match=line) as caught:
        replace_fields(GENERATE["tiny"](), **fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FINETUNE)
def test_every_finetune_recipe_has_a_model_that_can_be_meant(name: str) -> None:
    config = FINETUNE[name]()
    check_spec(config.model)
    assert replace_fields(config, max_train_steps=3).max_train_steps == 3


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("dev", {"epochs": 1, "folds": 2, "batch": 8, "size": 128, "sampling_steps": 20, "train_text_encoder": True}),
        ("product", {"epochs": 100, "folds": 5, "batch": 48, "size": 256, "sampling_steps": 500, "method": "lora"}),
        ("lora_a100", {"rank": 128, "alpha": 128, "batch": 16, "learning_rate": 1e-4, "max_train_steps": 1500}),
        (
            "dreambooth_a100",
            {"batch": 8, "accumulation": 2, "learning_rate": 5e-6, "max_train_steps": 800, "warmup": 100, "size": 512,
             "schedule": "cosine", "prior_weight": 1.0, "class_images": 200, "train_text_encoder": True},
        ),
    ],
)  # fmt: skip
def test_finetune_recipes_keep_their_published_values(name: str, published: dict) -> None:
    assert FINETUNE[name]().model_dump(include=set(published)) == published


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"rank": 0}, "--rank '0': "),
        ({"learning_rate": float("nan")}, "--learning-rate 'nan': "),
        ({"method": "dora"}, "--method 'dora': .*'dreambooth', 'lora', 'distill' or 'distill_lora'"),
        ({"select": "fid"}, "--select 'fid': .*'ssim'"),
        ({"size": 100}, "--size '100': .*multiple of 8"),
        ({"max_train_steps": 0}, "--max-train-steps '0': "),
    ],
)
def test_a_finetune_value_out_of_range_names_its_option(fields: dict, line: str) -> None:
    with pytest.raises(BadInput, match=line):
        replace_fields(FINETUNE["tiny"](), **fields)


@pytest.mark.parametrize("name", EVALUATE)
def test_every_evaluation_is_called_after_its_extractor(name: str) -> None:
    assert network_and_place(EVALUATE[name]().extractor) == (name, None)


def test_an_evaluation_has_neighbours_in_each_half() -> None:
    assert replace_fields(EVALUATE["tiny"](), min_samples=12).min_samples == 12
    with pytest.raises(BadInput, match="half of --min-samples must be more than --neighbours 5"):
        replace_fields(EVALUATE["tiny"](), min_samples=11)
