"""The recipe with the command line's changes."""

import importlib
from types import ModuleType

import pytest

from cxr import recipes
from cxr.finetune.config import FinetuneConfig


@pytest.fixture(scope="module")
def command() -> ModuleType:
    """jobs/finetune.py as a module."""
    return importlib.import_module("cxr.jobs.finetune")


def test_options_change_the_recipe_and_what_is_not_given_stays(command: ModuleType) -> None:
    given = {"ema": 0.99, "schedule": "constant", "warmup": 7, "class_images": 5, "class_prompt": "an X-ray",
             "instance_prompt": "{finding} on an X-ray", "select": "kid", "patience": 3}  # fmt: skip
    before, after = (
        recipes.named(recipes.FINETUNE, "tiny"),
        command.configured(command.Args("tiny", "in", "out", **given)),
    )
    assert after == before.model_copy(update=given)


def test_every_change_is_an_option_and_a_field(command: ModuleType) -> None:
    assert set(command.CHANGES) <= set(FinetuneConfig.model_fields) & set(command.Args.__dataclass_fields__)
