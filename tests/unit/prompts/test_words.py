"""What is known of a picture in words: nothing that is unknown leaves a hole or a wrong word."""

import re
from itertools import product

import pytest

from cxr.errors import BadInput
from cxr.prompts.words import GENERIC, Content, check_template, write_words

BOTH = Content(("Cardiomegaly", "Left_Effusion"), None, view="PA", sex="F", age=58)


def test_it_reads_like_the_impression_of_a_report() -> None:
    assert write_words(GENERIC, BOTH) == "Chest X-ray, PA view, of a 58-year-old woman: cardiomegaly and left effusion"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Content((), None), "no acute finding"),
        (Content(("No_Finding",), None), "no acute finding"),
        (Content(("C_d", "A_b", "COVID-19"), None), "a b, COVID-19 and c d"),
        (Content(("Edema",), ("Mass",)), "edema"),
        (Content(("Edema",), (), ("Mass",)), "edema and possible mass"),
        (Content((), ("Mass", "Edema")), "no edema or mass"),
        (Content(), ""),
    ],
)
def test_findings_in_words(content: Content, words: str) -> None:
    assert write_words("{findings}", content) == words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Content(("Lung_Opacities",), None), "chest X-ray showing Lung Opacities"),
        (Content(("No_Finding",), None), "chest X-ray showing No Finding"),
        (Content(("Mass", "Edema"), None), "chest X-ray showing Edema and Mass"),
        (Content(), "chest X-ray"),
    ],
)
def test_the_placeholder_of_version_0_1_keeps_the_names(content: Content, words: str) -> None:
    assert write_words("chest X-ray showing {finding}", content) == words


@pytest.mark.parametrize(
    ("sex", "age", "person"),
    [
        ("F", 58, "a 58-year-old woman"),
        ("M", 80, "an 80-year-old man"),
        ("F", 12, "a 12-year-old girl"),
        ("M", 11, "an 11-year-old boy"),
        (None, 18, "an 18-year-old patient"),
        (None, 0, "a 0-year-old child"),
        ("M", None, "a man"),
        (None, None, ""),
    ],
)
def test_a_person_in_words(sex: str | None, age: int | None, person: str) -> None:
    words = write_words("X-ray of a {age}-year-old {sex}, supine", Content(sex=sex, age=age))
    assert words == f"X-ray{' of ' * bool(person)}{person}, supine"


@pytest.mark.parametrize(
    "template",
    [
        GENERIC,
        "{view} chest X-ray of a {age}-year-old {sex} showing {findings}",
        "A {view} chest film. Findings: {findings}.",
        "Radiograph of a {sex} aged {age} years, {view} projection; impression: {finding}",
        "Chest, {view}, with {findings} (age {age})",
    ],
)
def test_whatever_is_unknown_leaves_no_hole(template: str) -> None:
    for known in product([True, False], repeat=4):
        values = zip(known, ("Mass", "AP", "M", 40), strict=True)
        present, view, sex, age = (value if one else None for one, value in values)
        words = write_words(template, Content((present,) if present else (), (), (), view, sex, age))
        assert not re.search(r"[{}_]|  |[,:;] *[,:;.]|^[ ,:;.]|[ ,:;(]$|\( *\)|None", words), words
        assert ("mass" in words.casefold(), "AP" in words) == (bool(present), bool(view) and "{view}" in template)
        assert bool(re.search(r"year|aged?\b", words)) == (age is not None and "{age}" in template), words
        assert view is not None or not re.search("view|projection", words), words
        assert present or not re.search("showing|with|findings|impression", words, re.IGNORECASE), words


def test_nothing_of_a_template_without_placeholders_changes() -> None:
    assert write_words("an X-ray {of} a  XX,, {finding}", BOTH).startswith("an X-ray {of} a  XX,, Cardiomegaly")


@pytest.mark.parametrize("name", ["findngs", "Finding", "views", "ages"])
def test_a_misspelt_placeholder_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=rf"--prompt: \{{{name}\}} is none of"):
        check_template(f"X-ray {{{name}}}", "--prompt")
    check_template("an X-ray {of} {findings}", "--prompt")
