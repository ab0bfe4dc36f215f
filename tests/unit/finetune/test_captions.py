"""From a catalog to captioned pictures, and every way in which a set cannot be used."""

import pytest

from cxr.errors import BadInput
from cxr.finetune.captions import captions_of, chosen_rows
from cxr.finetune.config import FinetuneConfig, identity

ROWS = [
    {"image_id": "a", "finding": "normal", "text": "Clear lungs."},
    {"image_id": "b", "finding": "Lung_Opacities", "text": None},
    {"image_id": "c", "finding": "normal", "text": " "},
]


def test_rows_are_chosen_by_finding() -> None:
    assert chosen_rows(ROWS, "all") == ROWS
    assert [row["image_id"] for row in chosen_rows(ROWS, "normal")] == ["a", "c"]
    assert chosen_rows(ROWS, "Lung_Opacities, normal") == ROWS


@pytest.mark.parametrize("finding", ["pneumonia", "normal,pneumonia", "", "Normal"])
def test_a_finding_without_pictures_is_refused(finding: str) -> None:
    with pytest.raises(BadInput, match=r"--finding .*no picture of the set shows it"):
        chosen_rows(ROWS, finding)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(BadInput, match="no picture to train on"):
        chosen_rows([], "all")


def test_captions_are_the_texts_or_one_prompt_a_finding() -> None:
    assert captions_of(ROWS[:1], FinetuneConfig(), pytest.fail) == ["Clear lungs."]
    instance = FinetuneConfig(captions="instance", instance_prompt="an X-ray {of} {finding}")
    assert captions_of(ROWS, instance, pytest.fail)[:2] == ["an X-ray {of} normal", "an X-ray {of} Lung Opacities"]


def test_a_picture_without_a_text_gets_the_prompt_of_its_finding_and_that_is_told() -> None:
    told: list[str] = []
    captions = captions_of(ROWS, FinetuneConfig(), told.append)
    assert captions == ["Clear lungs.", "chest X-ray showing Lung Opacities", "chest X-ray showing normal"]
    assert len(told) == 1 and told[0].startswith("2 of 3 pictures have no text")


def test_a_set_without_any_text_is_refused_where_texts_are_needed() -> None:
    with pytest.raises(BadInput, match=r"none of the 2 pictures has a text .*--captions instance"):
        captions_of(ROWS[1:], FinetuneConfig(), pytest.fail)


def test_the_identity_names_what_changes_the_result_and_no_place() -> None:
    config = FinetuneConfig(model="/somewhere/model")
    told = identity(config, "m" * 64, "d" * 64)
    assert told["model"] == "m" * 64 and told["data"] == "d" * 64 and "/somewhere" not in str(told)
    assert told == identity(config.model_copy(update={"cache": False, "model": "/elsewhere"}), "m" * 64, "d" * 64)
    assert told != identity(config.model_copy(update={"rank": 9}), "m" * 64, "d" * 64)
