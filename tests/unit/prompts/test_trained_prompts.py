"""What a record tells of captions, read back; a damaged one is one line."""

import pytest

from cxr.errors import BadInput
from cxr.prompts.trained_prompts import TrainedPrompts, trained_prompts

BOTH = TrainedPrompts({"normal": "chest X-ray showing normal", "pneumonia": None})


def test_a_record_is_read_back_and_an_old_one_tells_nothing() -> None:
    assert trained_prompts({"captions": BOTH.for_record}, "out/lora") == BOTH
    assert trained_prompts({"step": 4}, "out/lora") is None


def test_one_finding_with_texts_of_its_own_makes_it_texts() -> None:
    assert BOTH.for_record["kind"] == "texts of the pictures"
    assert TrainedPrompts(BOTH.known).for_record["kind"] == "a prompt for each finding"


def test_a_text_encoder_sees_neither_capitals_nor_blanks() -> None:
    assert BOTH.has(" Chest x-ray  showing NORMAL") and not BOTH.has("chest X-ray showing pneumonia")


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
    ],
)
def test_what_cannot_be_asked_for_is_one_line(told: object) -> None:
    with pytest.raises(BadInput, match="out/lora: its record is damaged") as caught:
        trained_prompts({"captions": told}, "out/lora")
    assert "\n" not in str(caught.value)
