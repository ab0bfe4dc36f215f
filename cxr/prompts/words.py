"""What is known of a picture, or asked of one, in words. Captions and prompts are both written here, so that a model is
asked in the words that it was trained with.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxr.errors import BadInput
from cxr.prompts.lists import NO_FINDING
from cxr.prompts.phrases import AGE_GROUPS
from cxr.prompts.reports import remove_marks

GENERIC = "Chest X-ray, {view} view, of a {age}-year-old {sex}: {findings}"  # as a report's impression begins
PLACEHOLDERS = ("finding", "findings", "view", "sex", "age")
PERSONS = {"F": ("girl", "woman"), "M": ("boy", "man"), None: ("child", "patient")}
VIEW_NAMES = {"LL": "left lateral", "RL": "right lateral", "L": "lateral", "LATERAL": "lateral"}  # codes of archives
CHILD = AGE_GROUPS[0][0]  # years; the first that are no child's

# A placeholder with the words that say nothing without it, and what stands in their place until `remove_marks` takes it
# out with the punctuation that is left alone.
_HOLE = " ____ "
_PERSON = re.compile(r",? ?\b(?:of|in|from|for) an? (?:\{age\}-year-old )?\{sex\}", re.IGNORECASE)
_NEEDING = {
    "age": re.compile(r"\{age\}-year-old|(?:\baged?:? )?\{age\}(?: years?(?: old)?)?", re.IGNORECASE),
    "view": re.compile(r"(?:\bview: )?\{view\}(?: view| projection)?", re.IGNORECASE),
    "finding": re.compile(r"(?:\b(?:showing|with|findings?:|impression:) )?\{finding\}", re.IGNORECASE),
    "findings": re.compile(r"(?:\b(?:showing|with|findings?:|impression:) )?\{findings\}", re.IGNORECASE),
}


@dataclass(frozen=True)
class Content:
    """What is known of a picture, or asked of it; a finding in none of the three is unknown."""

    present: tuple[str, ...] = ()
    absent: tuple[str, ...] | None = ()  # None: every other finding of its set
    uncertain: tuple[str, ...] = ()
    view: str | None = None
    sex: str | None = None  # F or M
    age: int | None = None  # years


def write_words(template: str, content: Content) -> str:
    """The template with its placeholders filled. What is unknown goes, with the words that say nothing without it.

    - `{finding}`: the findings' names as the set has them, with blanks for underscores.
    - `{findings}`: as a report's impression has them: `cardiomegaly and possible edema`, `no acute finding`.
    - `{view}`; `{age}` in years; `{sex}`: `woman`, `man`, `girl` or `boy`, where it is unknown `patient` or `child`.
    """
    values = {
        "finding": describe_findings(content, lambda name: name.replace("_", " ")),
        "findings": describe_findings(content, in_plain_words),
        "view": content.view and VIEW_NAMES.get(content.view.upper(), in_plain_words(content.view)),
        "sex": PERSONS[content.sex][content.age is None or content.age >= CHILD],
        "age": None if content.age is None else str(content.age),
    }
    text = _PERSON.sub(_HOLE, template) if content.sex is None and content.age is None else template
    for name, needing in _NEEDING.items():
        text = needing.sub(_HOLE, text) if values[name] is None else text
    if _HOLE in text:
        text, _ = remove_marks(text)
    text = re.sub(r"\b([aA])n? \{(age|view|sex)\}", lambda found: with_article(found[1], values[found[2]] or ""), text)
    return re.sub(rf"\{{({'|'.join(PLACEHOLDERS)})\}}", lambda found: values[found[1]] or "", text)


def describe_findings(content: Content, in_words: Callable[[str], str]) -> str | None:
    """The findings as a list in the order of the alphabet, each `in_words`; None where nothing is known of them."""
    present, uncertain, absent = (
        [*map(in_words, sorted(names or ()))] for names in (content.present, content.uncertain, content.absent)
    )
    named = present + [f"possible {name}" for name in uncertain]
    if named:
        return join_words(named, "and")
    if content.absent is None:
        return in_words(NO_FINDING)
    return f"no {join_words(absent, 'or')}" if absent else None


def in_plain_words(name: str) -> str:
    """`Pleural_Thickening` as `pleural thickening`; words with further capitals or digits (COVID-19, AP) stay."""
    words = name.replace("_", " ").split()
    plain = " ".join(word.lower() if word[1:].islower() or len(word) == 1 else word for word in words)
    return "no acute finding" if plain == "no finding" else plain


def join_words(words: Sequence[str], last: str) -> str:
    """`a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def with_article(article: str, words: str) -> str:
    """`a 58`, `an 80`: as it is spoken."""
    spoken_as_vowel = re.match(r"[aeioAEIO]|8|1[18]$", words)
    return f"{article}{'n' if spoken_as_vowel else ''} {words}"


def check_template(template: str, option: str) -> None:
    """`BadInput` for a placeholder that is misspelt."""
    for name in re.findall(r"\{(\w+)\}", template):
        if name not in PLACEHOLDERS and difflib.get_close_matches(name.casefold(), PLACEHOLDERS, cutoff=0.7):
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise BadInput(f"{option}: {{{name}}} is none of {known}; correct it")
