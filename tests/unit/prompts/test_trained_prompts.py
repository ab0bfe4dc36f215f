"""What a record tells of captions, read back; a damaged one is one line."""

import pytest

from cxr.errors import BadInput
from cxr.prompts.trained_prompts import TrainedPrompts, trained_prompts
from cxr.prompts.words import Content

BOTH = TrainedPrompts({"normal": "chest X-ray showing normal", "pneumonia": None})
CHEST = TrainedPrompts(
    {"Mass": "X-ray: mass", "No_Finding": "X-ray: no acute finding"}, "{view} X-ray: {findings}", False
)


def test_a_record_is_read_back_and_an_old_one_tells_nothing() -> None:
    assert trained_prompts({"captions": BOTH.for_record}, "out/lora") == BOTH
    assert trained_prompts({"captions": CHEST.for_record}, "out/lora") == CHEST
    before = {name: value for name, value in BOTH.for_record.items() if name not in ("template", "exclusive")}
    assert trained_prompts({"captions": before}, "out/lora") == BOTH
    assert trained_prompts({"step": 4}, "out/lora") is None


def test_one_finding_with_texts_of_its_own_makes_it_texts() -> None:
    assert BOTH.for_record["kind"] == "texts of the pictures"
    assert TrainedPrompts(BOTH.known).for_record["kind"] == "a prompt for each finding"


def test_a_text_encoder_sees_neither_capitals_nor_blanks() -> None:
    assert BOTH.has(" Chest x-ray  showing NORMAL", Content())
    assert not BOTH.has("chest X-ray showing pneumonia", Content())


def test_a_prompt_of_the_template_is_one_that_it_was_trained_with() -> None:
    asked = Content(("Mass", "Edema"), None, view="PA")
    assert CHEST.has("PA X-ray: edema and mass", asked) and not CHEST.has("PA X-ray: mass", asked)
    assert CHEST.findings == ("Mass",)


@pytest.mark.parametrize(
    "told",
    [
        7,
        {"findings": ["a"]},
        {"findings": ["../a"], "prompts": {}},
        {"findings": ["a"], "prompts": {"a": "\x1b[2J"}},
        {"findings": ["a"], "prompts": {"a": "  "}},
        {"findings": ["a"], "prompts": {"a": 3}},
        {"findings": [None], "prompts": {}},
        {"findings": ["a"], "prompts": {}, "template": 3},
        {"findings": ["a"], "prompts": {}, "template": "..."},
    ],
)
def test_what_cannot_be_asked_for_is_one_line(told: object) -> None:
    with pytest.raises(BadInput, match="out/lora: its record is damaged") as caught:
        trained_prompts({"captions": told}, "out/lora")
    assert "\n" not in str(caught.value)
