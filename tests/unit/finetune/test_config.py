"""The recipe with the command line's changes."""

import pytest

from cxr import recipes
from cxr.jobs import finetune
from tests.words import parse_options


def test_options_change_the_recipe_and_what_is_not_given_stays() -> None:
    given = {"ema": 0.99, "schedule": "constant", "warmup": 7, "class_images": 5, "class_prompt": "an X-ray",
             "instance_prompt": "{finding} on an X-ray", "select": "kid", "patience": 3, "flip": 0.5}  # fmt: skip
    after = finetune.build_config(parse_options(finetune, data="in", out="out", **given))
    assert after == recipes.FINETUNE["tiny"]().model_copy(update=given)


@pytest.mark.parametrize(("patients", "percent"), [("10%", 10), ("100%", 100)])
def test_a_share_of_the_patients_is_a_field_too(patients: str, percent: float) -> None:
    args = parse_options(finetune, data="in", out="out", patients=patients)
    assert finetune.build_config(args, finetune.parse_patients(args.patients)[0]).patients == percent
