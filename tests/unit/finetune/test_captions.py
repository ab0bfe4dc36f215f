"""From a catalog to captioned pictures, and every way in which a set cannot be used."""

import pytest

from cxr.errors import BadInput
from cxr.finetune.captions import collect_prompts, select_findings, write_captions
from cxr.finetune.config import FinetuneConfig, identity

ROWS = [
    {"image_id": "a", "finding": "normal", "text": "Clear lungs."},
    {"image_id": "b", "finding": "Lung_Opacities", "text": None},
    {"image_id": "c", "finding": "normal", "text": " "},
]


def test_rows_are_chosen_by_finding() -> None:
    assert select_findings(ROWS, "all") == ROWS
    assert [row["image_id"] for row in select_findings(ROWS, "normal")] == ["a", "c"]
    assert select_findings(ROWS, "Lung_Opacities, normal") == ROWS


@pytest.mark.parametrize("finding", ["pneumonia", "normal,pneumonia", "", "Normal"])
def test_a_finding_without_pictures_is_refused(finding: str) -> None:
    with pytest.raises(BadInput, match=r"--finding .*no picture of the set shows it"):
        select_findings(ROWS, finding)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(BadInput, match="no picture to train on"):
        select_findings([], "all")


def test_captions_are_the_texts_or_one_prompt_a_finding() -> None:
    assert write_captions(ROWS[:1], FinetuneConfig(), pytest.fail) == ["Clear lungs."]
    instance = FinetuneConfig(captions="instance", instance_prompt="an X-ray {of} {finding}")
    assert write_captions(ROWS, instance, pytest.fail)[:2] == ["an X-ray {of} normal", "an X-ray {of} Lung Opacities"]


def test_a_picture_without_a_text_gets_the_prompt_of_its_finding_and_that_is_told() -> None:
    told: list[str] = []
    captions = write_captions(ROWS, FinetuneConfig(), told.append)
    assert captions == ["Clear lungs.", "chest X-ray showing Lung Opacities", "chest X-ray showing normal"]
    assert len(told) == 1 and told[0].startswith("2 of 3 pictures have no text")


def test_a_set_without_any_text_is_refused_where_texts_are_needed() -> None:
    with pytest.raises(BadInput, match=r"none of the 2 pictures has a text .*--captions instance"):
        write_captions(ROWS[1:], FinetuneConfig(), pytest.fail)


def test_the_identity_names_what_changes_the_result_and_no_place() -> None:
    config = FinetuneConfig(model="/somewhere/model")
    told = identity(config, "m" * 64, "d" * 64)
    assert told["model"] == "m" * 64 and told["data"] == "d" * 64 and "/somewhere" not in str(told)
    assert told == identity(config.model_copy(update={"cache": False, "model": "/elsewhere"}), "m" * 64, "d" * 64)
    assert told != identity(config.model_copy(update={"rank": 9}), "m" * 64, "d" * 64)


def trained(captions: list[str], **fields: str) -> dict[str, str | None]:
    rows = [{"finding": finding, "caption": caption} for finding, caption in zip("aab", captions, strict=True)]
    return dict(collect_prompts(rows, FinetuneConfig(**fields)).prompts)


def test_the_prompts_of_instances_are_told() -> None:
    rows = [{"image_id": str(i), "finding": finding, "text": None} for i, finding in enumerate("aab")]
    config = FinetuneConfig(captions="instance", instance_prompt="an X-ray of {finding}")
    captions = write_captions(rows, config, print)
    assert trained(captions, instance_prompt="an X-ray of {finding}") == {"a": "an X-ray of a", "b": "an X-ray of b"}


def test_no_text_of_a_picture_is_told_even_where_all_have_it_or_there_is_one_picture() -> None:
    ours = "chest X-ray showing "
    assert trained(["Mr Smith, 12 May."] * 2 + ["Pacemaker."]) == {"a": None, "b": None}
    assert trained([f"{ours}a", "Mr Smith.", f"{ours}b"]) == {"a": None, "b": f"{ours}b"}


def test_findings_that_share_one_prompt_are_told() -> None:
    heard: list[str] = []
    rows = [{"finding": finding, "text": None} for finding in "ab"]
    write_captions(rows, FinetuneConfig(captions="instance", instance_prompt="an X-ray"), heard.append)
    assert len(heard) == 1 and "2 findings share one prompt" in heard[0]
    write_captions(rows, FinetuneConfig(captions="instance"), heard.append)
    assert len(heard) == 1
