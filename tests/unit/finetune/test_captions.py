"""From a catalog to captioned pictures, and every way in which a set cannot be used."""

from typing import Any

import pytest

from cxr.data.labels import Labels, Vocabulary
from cxr.errors import BadInput
from cxr.finetune.captions import collect_prompts, select_findings, write_captions
from cxr.finetune.config import FinetuneConfig, identity

PAIR = ("Lung_Opacities", "normal")
CHEST = Vocabulary(("Cardiomegaly", "Edema", "Effusion"), exclusive=False)


def row(labels: Labels, text: str | None = None, findings: tuple[str, ...] = PAIR, **known: Any) -> dict[str, Any]:
    """Of a catalog."""
    unknown = {"image_id": "a", "view": None, "sex": None, "age": None}
    return {**unknown, **labels.as_columns(findings), "finding": labels.folder(findings), "text": text, **known}


ROWS = [
    row(Labels.only("normal"), "Clear lungs.", image_id="a"),
    row(Labels.only("Lung_Opacities"), image_id="b"),
    row(Labels.only("normal"), " ", image_id="c"),
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
    assert write_captions(ROWS[:1], PAIR, FinetuneConfig(), pytest.fail) == ["Clear lungs."]
    instance = FinetuneConfig(captions="instance", instance_prompt="an X-ray {of} {finding}")
    assert write_captions(ROWS, PAIR, instance, pytest.fail)[:2] == [
        "an X-ray {of} normal",
        "an X-ray {of} Lung Opacities",
    ]


def test_a_picture_without_a_text_gets_the_prompt_of_its_finding_and_that_is_told() -> None:
    told: list[str] = []
    captions = write_captions(ROWS, PAIR, FinetuneConfig(), told.append)
    assert captions == ["Clear lungs.", "chest X-ray showing Lung Opacities", "chest X-ray showing normal"]
    assert len(told) == 1 and told[0].startswith("2 of 3 pictures have no text")


def test_a_set_without_any_text_is_refused_where_texts_are_needed() -> None:
    with pytest.raises(BadInput, match=r"none of the 2 pictures has a text .*--captions instance"):
        write_captions(ROWS[1:], PAIR, FinetuneConfig(), pytest.fail)


def test_the_identity_names_what_changes_the_result_and_no_place() -> None:
    config = FinetuneConfig(model="/somewhere/model")
    told = identity(config, "m" * 64, "d" * 64)
    assert told["model"] == "m" * 64 and told["data"] == "d" * 64 and "/somewhere" not in str(told)
    assert told == identity(config.model_copy(update={"cache": False, "model": "/elsewhere"}), "m" * 64, "d" * 64)
    assert told != identity(config.model_copy(update={"rank": 9}), "m" * 64, "d" * 64)


def trained(captions: list[str], **fields: str) -> dict[str, str | None]:
    rows = [row(Labels.only(finding), findings=("a", "b")) for finding in "aab"]
    return dict(collect_prompts(rows, captions, Vocabulary(("a", "b"), True), FinetuneConfig(**fields)).prompts)


def test_the_prompts_of_instances_are_told() -> None:
    rows = [row(Labels.only(finding), findings=("a", "b")) for finding in "aab"]
    config = FinetuneConfig(captions="instance", instance_prompt="an X-ray of {finding}")
    captions = write_captions(rows, ("a", "b"), config, print)
    assert trained(captions, instance_prompt="an X-ray of {finding}") == {"a": "an X-ray of a", "b": "an X-ray of b"}


def test_no_text_of_a_picture_is_told_even_where_all_have_it_or_there_is_one_picture() -> None:
    ours = "chest X-ray showing "
    assert trained(["Mr Smith, 12 May."] * 2 + ["Pacemaker."]) == {"a": None, "b": None}
    assert trained([f"{ours}a", "Mr Smith.", f"{ours}b"]) == {"a": None, "b": f"{ours}b"}


def test_findings_that_share_one_prompt_are_told() -> None:
    heard: list[str] = []
    rows = [row(Labels.only(finding), findings=("a", "b")) for finding in "ab"]
    config = FinetuneConfig(captions="instance", instance_prompt="an X-ray, {view} view")
    write_captions(rows, ("a", "b"), config, heard.append)
    assert len(heard) == 1 and "2 findings share one prompt" in heard[0]
    write_captions(rows, ("a", "b"), FinetuneConfig(captions="instance"), heard.append)
    assert len(heard) == 1


# --- several findings a picture ---

TEMPLATE = "Chest X-ray, {view} view, of a {age}-year-old {sex}: {findings}"
SEVERAL = [
    row(Labels(("Cardiomegaly", "Effusion"), None), None, CHEST.findings, view="PA", sex="F", age=58),
    row(Labels((), None), "No acute disease.", CHEST.findings, view="AP"),
    row(Labels((), ("Edema",), ("Effusion",)), None, CHEST.findings, sex="M", age=8),
]


def test_a_caption_says_what_is_known_of_its_picture() -> None:
    config = FinetuneConfig(captions="instance", instance_prompt=TEMPLATE)
    assert write_captions(SEVERAL, CHEST.findings, config, pytest.fail) == [
        "Chest X-ray, PA view, of a 58-year-old woman: cardiomegaly and effusion",
        "Chest X-ray, AP view: no acute finding",
        "Chest X-ray, of an 8-year-old boy: possible effusion",
    ]
    texts = write_captions(SEVERAL, CHEST.findings, config.model_copy(update={"captions": "catalog"}), print)
    assert texts[1] == "No acute disease." and texts[0].endswith("cardiomegaly and effusion")


def test_pictures_are_chosen_by_a_finding_whatever_else_they_show() -> None:
    assert select_findings(SEVERAL, "Effusion") == SEVERAL[:1]
    assert select_findings(SEVERAL, "No_Finding,Cardiomegaly") == SEVERAL[:2]
    with pytest.raises(BadInput, match=r"--finding 'Edema': no picture of the set shows it"):
        select_findings(SEVERAL, "Edema")


def test_the_record_tells_how_to_ask_but_not_which_findings_came_together() -> None:
    config = FinetuneConfig(captions="instance", instance_prompt=TEMPLATE)
    captions = write_captions(SEVERAL, CHEST.findings, config, print)
    told = collect_prompts(SEVERAL, captions, CHEST, config)
    assert told.template == TEMPLATE and not told.exclusive and told.findings == ("Cardiomegaly", "Effusion")
    assert told.prompts == {
        "Cardiomegaly": "Chest X-ray: cardiomegaly",
        "Effusion": "Chest X-ray: effusion",
        "No_Finding": "Chest X-ray: no acute finding",
    }
    assert "Cardiomegaly+Effusion" not in str(told.for_record)


def test_a_misspelt_placeholder_is_refused() -> None:
    config = FinetuneConfig(captions="instance", instance_prompt="X-ray of {findngs}")
    with pytest.raises(BadInput, match=r"--instance-prompt: \{findngs\} is none of \{finding\}"):
        write_captions(ROWS, PAIR, config, print)
