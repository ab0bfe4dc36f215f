"""The words of the prompts, read from phrases.toml, which says what they are for."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

AGE_GROUPS = ((13, "child"), (40, "young"), (65, "middle-aged"), (200, "elderly"))  # first bound above the years


@dataclass(frozen=True)
class Phrasebook:
    openings: tuple[str, ...]  # a whole prompt around {core}
    joints: tuple[str, ...]  # between two noun phrases
    tails: tuple[str, ...]  # a closing sentence, or nothing
    cores: dict[str, tuple[str, ...]]  # pattern -> noun phrases that name it


def _options(words: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(options) for name, options in words.items()}


def _book(cores: dict[str, list[str]], openings: list[str], joints: list[str], tails: list[str]) -> Phrasebook:
    return Phrasebook(tuple(openings), tuple(joints), tuple(tails), _options(cores))


_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
SEVERITY_WORDS, VIEW_WORDS = _options(_WORDS["severity"]), _options(_WORDS["view"])
SEX_WORDS, CHILD_WORDS = _options(_WORDS["sex"]), _options(_WORDS["child"])
STANDARD, REPHRASED = _book(**_WORDS["standard"]), _book(**_WORDS["rephrased"])
