"""Prompts from templates: many, different, reproducible, and in two phrasings that share no sentence."""

import re
from itertools import islice

import pytest

from cxr.errors import BadInput
from cxr.prompts.findings import BINARY, BINARY_PATTERNS, FINDINGS, PATTERNS, Attributes, Sign
from cxr.prompts.phrases import REPHRASED, STANDARD, Phrasebook
from cxr.prompts.templates import describe_attributes, make_finding_rng, template_prompts

PER_FINDING = 1200
DIRTY = re.compile(r"None|[{}]|\s\s|\.\.|\s[,.;:]|,,|^\s|\s$|\b[Aa] [aeiou]|\(\s*\)|\n")
NODULE = Sign("Structural_Lesions", "nodule", None, "right", "upper")


@pytest.fixture(scope="module")
def standard() -> dict[str, list[str]]:
    return {finding: list(template_prompts(finding, PER_FINDING, seed=0)) for finding in FINDINGS}


@pytest.fixture(scope="module")
def rephrased() -> list[str]:
    return [text for finding in FINDINGS for text in template_prompts(finding, 50, 0, REPHRASED)]


def everything(standard: dict[str, list[str]], rephrased: list[str]) -> list[str]:
    return [text for texts in standard.values() for text in texts] + rephrased


def test_ten_findings_give_12000_different_prompts(standard: dict[str, list[str]]) -> None:
    assert {finding: len(set(texts)) for finding, texts in standard.items()} == dict.fromkeys(FINDINGS, PER_FINDING)
    assert len({text for texts in standard.values() for text in texts}) == 10 * PER_FINDING


def test_the_same_seed_gives_the_same_prompts_and_another_seed_others(standard: dict[str, list[str]]) -> None:
    again = list(template_prompts("Pleural_Conditions", PER_FINDING, seed=0))
    other = list(template_prompts("Pleural_Conditions", PER_FINDING, seed=1))
    assert again == standard["Pleural_Conditions"]
    assert len(set(other) & set(again)) < PER_FINDING / 10


@pytest.mark.parametrize("count", [1, 7, 300])
def test_a_smaller_count_gives_the_first_of_a_larger_one(standard: dict[str, list[str]], count: int) -> None:
    for finding in FINDINGS:
        assert list(template_prompts(finding, count, seed=0)) == standard[finding][:count]


def test_prompts_of_a_finding_do_not_depend_on_what_else_is_drawn(standard: dict[str, list[str]]) -> None:
    one, other = template_prompts("Medical_Devices", 50, seed=0), template_prompts("Lung_Opacities", 50, seed=0)
    together = list(zip(one, other, strict=True))
    assert [a for a, _ in together] == standard["Medical_Devices"][:50]
    assert [b for _, b in together] == standard["Lung_Opacities"][:50]


def test_every_prompt_is_clean_text(standard: dict[str, list[str]], rephrased: list[str]) -> None:
    """No unfilled slot, no `None`, no double blank, no blank or stop where none belongs, no "a" before a vowel."""
    assert [text for text in everything(standard, rephrased) if DIRTY.search(text) or not text[0].isupper()] == []


def test_both_books_know_every_pattern_and_no_other() -> None:
    patterns = {p for table in (PATTERNS, BINARY_PATTERNS) for names in table.values() for p in names}
    for book in (STANDARD, REPHRASED):
        assert set(book.cores) == patterns
        assert all(book.cores.values())


def test_the_books_share_no_core_opening_or_closing_sentence() -> None:
    def cores(book: Phrasebook) -> set[str]:
        return {core.casefold() for options in book.cores.values() for core in options}

    assert not cores(STANDARD) & cores(REPHRASED)
    assert not {o.casefold() for o in STANDARD.openings} & {o.casefold() for o in REPHRASED.openings}
    assert {*STANDARD.tails} & {*REPHRASED.tails} <= {""}


def test_rephrased_prompts_never_occur_among_the_standard_ones(
    standard: dict[str, list[str]], rephrased: list[str]
) -> None:
    def sentences(texts: list[str]) -> set[str]:
        return {part.strip(" .").casefold() for text in texts for part in re.split(r"\. ", text)}

    whole = [text for texts in standard.values() for text in texts]
    assert len(set(rephrased)) == 500
    assert not set(rephrased) & set(whole)
    assert not sentences(rephrased) & sentences(whole)


def test_what_the_attributes_fix_is_said() -> None:
    drawn = Attributes((NODULE,), "AP", "F", 8)
    for seed in range(30):
        text = describe_attributes(drawn, make_finding_rng(seed, "x"))
        assert "in the upper zone of the right lung" in text
        assert "nod" in text and "girl" in text
        assert re.search(r"\bAP\b|anteroposterior", text, re.IGNORECASE)


@pytest.mark.parametrize("book", [STANDARD, REPHRASED])
def test_several_signs_are_all_named_each_with_its_own_place(book: Phrasebook) -> None:
    signs = (NODULE, Sign("effusion", "effusion", "severe", "left"), Sign("cardiomegaly", "cardiomegaly", "mild"))
    texts = [describe_attributes(Attributes(signs, "PA", "M", 50), make_finding_rng(s, "x"), book) for s in range(60)]
    for text in texts:
        words = text.casefold()
        assert "nod" in words and "in the upper zone of the right lung" in words
        assert "left" in words and re.search("effusion|pleural fluid", words)
        assert re.search("heart|cardi", words)
        assert not DIRTY.search(text)
    firsts = {
        min(("effusion", "nod", "card"), key=lambda word: f"{text} {word}".casefold().find(word)) for text in texts
    }
    assert firsts == {"effusion", "nod", "card"}


def test_no_sign_is_a_clear_chest() -> None:
    text = describe_attributes(Attributes((), "PA", "M", 50), make_finding_rng(0, "x"))
    assert text == describe_attributes(
        Attributes((Sign("Normal_Anatomy", "clear"),), "PA", "M", 50), make_finding_rng(0, "x")
    )


def test_age_is_said_in_years_or_by_group() -> None:
    drawn = Attributes((Sign("Normal_Anatomy", "clear"),), "PA", "M", 80)
    texts = [describe_attributes(drawn, make_finding_rng(seed, "x")) for seed in range(40)]
    by_years = [text for text in texts if re.search(r"\ban 80-year-old (man|male patient)\b", text)]
    by_group = [text for text in texts if re.search(r"\ban elderly (man|male patient)\b", text)]
    assert by_years and by_group and len(by_years) + len(by_group) == len(texts)


@pytest.mark.parametrize("finding", BINARY)
def test_the_binary_findings_have_prompts_of_their_own(finding: str) -> None:
    texts = list(template_prompts(finding, 200, seed=0))
    assert len(set(texts)) == 200
    assert any("pneumonia" in text.casefold() for text in texts) == (finding == "pneumonia")


def test_asking_for_more_than_there_are_is_one_clear_line() -> None:
    two = Phrasebook(openings=("{core}",), joints=(), tails=("",), cores={"clear": ("clear lungs", "normal chest")})
    prompts = template_prompts("Normal_Anatomy", 3, 0, two)
    assert set(islice(prompts, 2)) == {"Clear lungs.", "Normal chest."}
    with pytest.raises(BadInput, match=r"--per-finding 3: .* about 2 different prompts for Normal_Anatomy") as caught:
        next(prompts)
    assert "\n" not in str(caught.value)
