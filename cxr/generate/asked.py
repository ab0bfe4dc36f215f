"""In which words a set is asked for where the user gives none: its model's own, else templates."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.data.labels import Vocabulary
from cxr.generate.config import GenerateConfig
from cxr.generate.like import LikeSet, describe_like, like_rows
from cxr.generate.plan import rows_of_finding
from cxr.prompts.findings import BINARY, FINDINGS
from cxr.prompts.lists import UNLABELLED, PromptRow, parse_asked_findings
from cxr.prompts.templates import describe_content, has_phrases, names_of
from cxr.prompts.trained_prompts import TrainedPrompts
from cxr.prompts.words import GENERIC, Content, write_words
from cxr.weights import Weights

SHOWN = 4  # prompts that a line names
WORD_STREAM = 7  # last number of a seed


@dataclass(frozen=True)
class AskedRows:
    """What is asked for."""

    rows: Iterable[PromptRow]
    vocabulary: Vocabulary | None = None  # of the set; None: what the rows name


def ask_for_findings(config: GenerateConfig, trained: Weights, note: Callable[[str], None]) -> AskedRows:
    """`per_finding` pictures of each finding, in the words that the model was trained with as far as its record tells.

    Args:
        trained: what was trained last: the LoRA, or the model where there is none.
        note: called with which words, and why.

    Raises:
        BadInput: a finding whose name cannot be one, or is nearly that of one that the model knows.
    """
    learned = trained.trained
    words = OwnWords.of(learned, config)
    findings = findings_to_ask(config, trained)
    note(f"prompts: {explain_prompts(findings, trained, words)}")
    vocabulary = None
    if learned and not learned.exclusive:
        asked = {name for finding in findings for name in names_of(finding)}
        vocabulary = Vocabulary(tuple(sorted(asked | {*learned.findings})), exclusive=False)
    return AskedRows(rows_of(config, findings, words), vocabulary)


def ask_like(like: LikeSet, config: GenerateConfig, trained: Weights, note: Callable[[str], None]) -> AskedRows:
    """Pictures like a set's, in the words that the model was trained with, of templates, or by the findings' names.

    Raises:
        BadInput: as `like_rows`.
    """
    words = OwnWords.of(trained.trained, config)
    note(describe_like(like))
    if words.template:
        note(f'prompts: as "{words.template}", with which {trained.spec} was trained')
    rng = np.random.default_rng([config.seed, WORD_STREAM])
    return AskedRows(like_rows(like, config.seed, lambda content: words.write(content, rng)), like.data.vocabulary)


@dataclass(frozen=True)
class OwnWords:
    """What is known of the words that a model was trained with; nothing where others are to be taken."""

    prompts: dict[str, str]  # by finding
    template: str | None

    @classmethod
    def of(cls, learned: TrainedPrompts | None, config: GenerateConfig) -> "OwnWords":
        return cls(learned.known, learned.template) if learned and not config.templates else cls({}, None)

    def write(self, content: Content, rng: np.random.Generator) -> str:
        """In the model's form, else in that of the templates, else by the findings' names."""
        if self.template:
            return write_words(self.template, content)
        return describe_content(content, rng) or write_words(GENERIC, content)

    def ask_for(self, finding: str) -> str | None:
        """What asked for it in the training, or what asks for several of these findings in the same form."""
        parts = names_of(finding)
        if self.template and len(parts) > 1 and all(name in self.prompts for name in parts):
            return write_words(self.template, Content(parts, None))
        return self.prompts.get(finding)

    def name(self, finding: str) -> str:
        """What asks for a finding that nothing but its name is known of."""
        return write_words(self.template or GENERIC, Content(names_of(finding), None))


def rows_of(config: GenerateConfig, findings: Iterable[str], words: OwnWords) -> Iterator[PromptRow]:
    """One prompt with `per_finding` seeds, or as many prompts of the templates where they have words for it."""
    for finding in findings:
        prompt = words.ask_for(finding)
        if prompt is None and has_phrases(finding):
            yield from rows_of_finding(finding, config)
        else:
            yield PromptRow(prompt or words.name(finding), finding, "", config.per_finding, None)


def findings_to_ask(config: GenerateConfig, trained: Weights) -> tuple[str, ...]:
    """`all` are those that the model was trained on, if that is known, else the templates' ten."""
    learned = trained.trained
    known = [name for name in (*FINDINGS, *BINARY) if not learned or name in learned.prompts]
    known += [name for name in (learned.prompts if learned else ()) if name not in known]
    if config.findings == "all":
        return tuple(known) if learned else FINDINGS
    return parse_asked_findings(config.findings, known if learned or trained.source == "embedded" else ())


def explain_prompts(findings: Sequence[str], trained: Weights, words: OwnWords) -> str:
    """Which words, and for what reason."""
    own = [prompt for prompt in map(words.ask_for, findings) if prompt]
    others = [finding for finding in findings if not words.ask_for(finding)]
    named = [finding for finding in others if not has_phrases(finding)]
    parts = [f"{quote_prompts(own)}, with which {trained.spec} was trained"] if own else []
    if len(named) < len(others):
        parts.append("for other findings from templates" if own else f"from templates{explain_templates(trained)}")
    if named:
        prompts = quote_prompts([*map(words.name, named)])
        parts.append(f"{', '.join(named)} by name alone, {prompts}; whether {trained.spec} shows it has to be measured")
    return "; ".join(parts) + (" (other words: --templates, --prompts)" if own else "")


def explain_templates(trained: Weights) -> str:
    if trained.source == "embedded":
        return ", which the embedded model was made for"
    if trained.trained is None:
        return f"; no record says in which words {trained.spec} was trained"
    if trained.trained.known:
        return ""
    return f"; {trained.spec} was trained with texts of its pictures, of which its record holds none"


def describe_untrained(asked: Iterable[tuple[str, Content]], findings: Iterable[str], trained: Weights) -> str:
    """What is asked for that the model was not trained with; empty if nothing, or where no record tells.

    Args:
        asked: prompt and content of every picture.
    """
    if trained.trained is None:
        return ""
    learned = trained.trained
    if strange := sorted({*findings} - {*learned.prompts, UNLABELLED}):
        return (
            f"{trained.spec} was not trained on {', '.join(strange)}, only on {', '.join(learned.prompts)}: what it "
            "shows for the others is the base model's"
        )
    if len(learned.known) < len(learned.prompts):
        return ""  # texts: nobody can say which words were among them
    known = [learned.has(prompt, content) for prompt, content in asked]
    if all(known):
        return ""
    words = quote_prompts([*learned.known.values()])
    return (
        f"{known.count(False):,} of {len(known):,} pictures are asked for in words that {trained.spec} was not trained "
        f"with ({words}): they may not show what is asked; jobs/evaluate.py measures it"
    )


def quote_prompts(prompts: list[str]) -> str:
    shown = ", ".join(f'"{prompt}"' for prompt in dict.fromkeys(prompts[:SHOWN]))
    return f"{shown} and {len(prompts) - SHOWN} more" if len(prompts) > SHOWN else shown
