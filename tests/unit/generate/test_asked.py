"""A model is asked in its own words by default; other words are given on request, with a line that says so."""

from pathlib import Path

import pytest

from cxr import recipes
from cxr.data.labels import Vocabulary
from cxr.errors import BadInput
from cxr.generate.asked import ask_for_findings, describe_untrained
from cxr.generate.plan import template_rows
from cxr.prompts.findings import FINDINGS
from cxr.prompts.lists import PromptRow
from cxr.prompts.trained_prompts import TrainedPrompts
from cxr.prompts.words import Content
from cxr.weights import Weights

OURS = {"normal": "chest X-ray showing normal", "Hernia": "chest X-ray showing Hernia"}
INSTANCE = TrainedPrompts(OURS)
TEXTS = TrainedPrompts(dict.fromkeys(("pneumonia", "normal")))


def lora(trained: TrainedPrompts | None, source: str = "folder") -> Weights:
    return Weights("out/lora", Path("x"), "d" * 64, "unstated", source, (), (), trained)


def asked(trained: TrainedPrompts | None, source: str = "folder", **fields: object) -> tuple[list[PromptRow], str]:
    """The rows, and the one line that was heard."""
    heard: list[str] = []
    config = recipes.replace_fields(recipes.sd15(), per_finding=3, **fields)
    rows = list(ask_for_findings(config, lora(trained, source), heard.append).rows)
    [line] = heard
    return rows, line


def templates(findings: str) -> list[PromptRow]:
    return list(template_rows(recipes.replace_fields(recipes.sd15(), per_finding=3, findings=findings)))


def test_a_model_is_asked_for_what_it_knows_in_its_own_words() -> None:
    rows, line = asked(INSTANCE)
    assert rows == [PromptRow(OURS[finding], finding, "", 3, None) for finding in OURS]
    assert '"chest X-ray showing Hernia"' in line and "with which out/lora was trained" in line


def test_one_finding_of_it_that_no_template_knows() -> None:
    assert asked(INSTANCE, findings="Hernia")[0] == [PromptRow(OURS["Hernia"], "Hernia", "", 3, None)]


def test_a_finding_that_it_never_saw_is_asked_in_templates() -> None:
    rows, line = asked(INSTANCE, findings="normal,pneumonia")
    assert "for other findings from templates" in line
    assert rows == [PromptRow(OURS["normal"], "normal", "", 3, None), *templates("pneumonia")]
    with pytest.raises(BadInput, match="no finding is called 'Herna'; did you mean Hernia"):
        asked(INSTANCE, findings="Herna")


def test_templates_on_request_for_the_findings_that_it_knows() -> None:
    known = TrainedPrompts({"pneumonia": "an X-ray of pneumonia"})
    rows, line = asked(known, templates=True)
    assert (rows, line) == (templates("pneumonia"), "prompts: from templates")
    rows, line = asked(INSTANCE, templates=True)
    assert rows[3:] == [PromptRow("Chest X-ray: hernia", "Hernia", "", 3, None)] and "Hernia by name alone" in line


def test_texts_are_asked_for_in_templates_of_the_findings_that_were_seen() -> None:
    rows, line = asked(TEXTS)
    assert rows == templates("normal,pneumonia")
    assert "was trained with texts of its pictures" in line


def test_any_vocabulary_has_prompts() -> None:
    rows, line = asked(None, findings="Hernia,Pleural_Thickening+Fibrosis,normal")
    assert rows[:2] == [
        PromptRow("Chest X-ray: hernia", "Hernia", "", 3, None),
        PromptRow("Chest X-ray: fibrosis and pleural thickening", "Fibrosis+Pleural_Thickening", "", 3, None),
    ]
    assert rows[2:] == templates("normal")
    assert "Hernia, Fibrosis+Pleural_Thickening by name alone" in line and "no record says" in line


def test_several_findings_have_prompts_of_the_templates_or_of_the_models_own() -> None:
    rows, _ = asked(None, "embedded", findings="cardiomegaly+effusion,No_Finding")
    assert [row.finding for row in rows] == ["cardiomegaly+effusion"] * 3 + ["No_Finding"] * 3
    assert len({row.prompt for row in rows}) == 6
    chest = TrainedPrompts({"Mass": "X-ray: mass", "Edema": "X-ray: edema"}, "{view} X-ray: {findings}", False)
    config = recipes.replace_fields(recipes.sd15(), per_finding=3, findings="Mass+Edema,Mass")
    request = ask_for_findings(config, lora(chest), print)
    assert list(request.rows) == [
        PromptRow("X-ray: edema and mass", "Edema+Mass", "", 3, None),
        PromptRow("X-ray: mass", "Mass", "", 3, None),
    ]
    assert request.vocabulary == Vocabulary(("Edema", "Mass"), exclusive=False)


@pytest.mark.parametrize(("source", "says"), [("folder", "no record says in which words"), ("embedded", "made for")])
def test_a_model_without_a_record_is_asked_in_templates_as_ever(source: str, says: str) -> None:
    rows, line = asked(None, source)
    assert rows == templates(",".join(FINDINGS)) and says in line


@pytest.mark.parametrize(
    ("trained", "prompts", "findings", "says"),
    [
        (INSTANCE, [*OURS.values()], OURS, ""),
        (INSTANCE, ["Chest x-ray showing normal"], ["unlabelled"], ""),
        (
            INSTANCE,
            [OURS["normal"], "Clear lungs."],
            ["normal"],
            "1 of 2 pictures are asked for in words that",
        ),
        (INSTANCE, ["Clear lungs."], ["unlabelled"], "1 of 1 pictures"),
        (INSTANCE, [OURS["normal"]], ["normal", "mass"], "was not trained on mass, only on normal, Hernia"),
        (TEXTS, ["Clear lungs."], ["normal", "unlabelled"], ""),
        (TEXTS, ["A mass."], ["mass"], "was not trained on mass"),
        (None, ["A mass."], ["mass"], ""),
    ],
)
def test_a_line_says_what_it_was_not_trained_with(
    trained: TrainedPrompts | None, prompts: list[str], findings: list[str], says: str
) -> None:
    line = describe_untrained([(prompt, Content()) for prompt in prompts], findings, lora(trained))
    assert says in line and bool(says) == bool(line) and "\n" not in line
