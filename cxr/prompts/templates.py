"""Prompts from attributes: `describe_attributes` writes one, `template_prompts` as many different ones as asked for."""

import hashlib
import re
from collections.abc import Iterator

import numpy as np

from cxr.errors import BadInput
from cxr.prompts.findings import BINARY, FINDINGS, Attributes, Sign, sample_attributes
from cxr.prompts.lists import NO_FINDING
from cxr.prompts.phrases import AGE_GROUPS, CHILD_WORDS, SEVERITY_WORDS, SEX_WORDS, STANDARD, VIEW_WORDS, Phrasebook
from cxr.prompts.words import Content

TRIES_PER_PROMPT = 200


def describe_attributes(attributes: Attributes, rng: np.random.Generator, book: Phrasebook = STANDARD) -> str:
    """Writes one sentence or two that name all signs, in any order, and whatever else the attributes fix."""
    signs = [attributes.signs[i] for i in rng.permutation(len(attributes.signs))]
    core = describe_sign(signs[0], rng, book) if signs else pick_option(book.cores["clear"], rng)
    for sign in signs[1:]:
        core += pick_option(book.joints, rng) + describe_sign(sign, rng, book)
    opening = pick_option(book.openings, rng).format(
        core=core, view=pick_option(VIEW_WORDS[attributes.view], rng), person=describe_person(attributes, rng)
    )
    tail = pick_option(book.tails, rng)
    return fix_grammar(f"{opening}. {tail}".strip())


def describe_sign(sign: Sign, rng: np.random.Generator, book: Phrasebook) -> str:
    """A noun phrase that names the pattern, its severity and its place."""
    return pick_option(book.cores[sign.pattern], rng).format(
        sev=pick_option(SEVERITY_WORDS[sign.severity], rng) if sign.severity else "",
        side=sign.side,
        where=describe_place(sign),
    )


def describe_place(sign: Sign) -> str:
    """Where in the lungs, in words; empty where the pattern has no place."""
    lungs = "both lungs" if sign.side == "bilateral" else f"the {sign.side} lung"
    return f"in the {sign.zone} zone of {lungs}" if sign.zone else f"in {lungs}"


def describe_person(attributes: Attributes, rng: np.random.Generator) -> str:
    """Age and sex in words, by years or by age group."""
    group = next(name for bound, name in AGE_GROUPS if attributes.age < bound)
    if group == "child":
        return f"a {attributes.age}-year-old {pick_option(CHILD_WORDS[attributes.sex], rng)}"
    noun = pick_option(SEX_WORDS[attributes.sex], rng)
    by_years = rng.random() < 0.5
    adjective = f"{attributes.age}-year-old" if by_years else group
    return f"a {adjective} {noun}"


def fix_grammar(text: str) -> str:
    """Capitals at the start of a sentence, and "an" where it is spoken so."""
    text = re.sub(r"\b([aA]) (?=[aeiouAEIO8]|11-|18-)", r"\1n ", text)
    return re.sub(r"(^|\. )([a-z])", lambda m: m[1] + m[2].upper(), text)


def describe_content(content: Content, rng: np.random.Generator, book: Phrasebook = STANDARD) -> str | None:
    """Writes a prompt for what is asked, pattern, severity and place drawn; None where the templates have no words for
    it, or would say more than is asked."""
    if not content.sex or content.age is None or content.uncertain or not all(map(has_phrases, content.present)):
        return None
    if not content.present and content.absent is not None:
        return None
    for _ in range(TRIES_PER_PROMPT):
        attributes = sample_attributes(content.present, content.sex, content.age, rng)
        if attributes.view == content.view:
            return describe_attributes(attributes, rng, book)
    return None


def has_phrases(finding: str) -> bool:
    """Whether the templates have words for it, or for all that are joined by "+"."""
    return all(name in STANDARD.cores or name in FINDINGS + BINARY for name in names_of(finding))


def names_of(finding: str) -> tuple[str, ...]:
    return () if finding == NO_FINDING else tuple(finding.split("+"))


def pick_option(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]


def make_finding_rng(seed: int, finding: str) -> np.random.Generator:
    """A generator of the finding's own, so that its prompts do not depend on which other findings are asked for."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(finding.encode()).digest()[:8], "big")])


def template_prompts(finding: str, count: int, seed: int, book: Phrasebook = STANDARD) -> Iterator[str]:
    """`count` different prompts for a finding, or several joined by "+", that `has_phrases`; the first n are the same
    for every count.

    Raises:
        BadInput: the templates do not hold that many different prompts.
    """
    rng = make_finding_rng(seed, finding)
    seen: set[str] = set()
    for number in range(count):
        for _ in range(TRIES_PER_PROMPT):
            sex = "F" if rng.random() < 0.5 else "M"
            attributes = sample_attributes(names_of(finding), sex, int(rng.integers(3, 95)), rng)
            text = describe_attributes(attributes, rng, book)
            if text not in seen:
                break
        else:
            raise BadInput(
                f"--per-finding {count}: the templates hold about {number} different prompts for {finding}; "
                "ask for fewer, or bring your own list with --prompts"
            )
        seen.add(text)
        yield text
