"""The prompts that a model was trained with, by finding, as its record holds them.

A caption that is a picture's own text comes out of a patient's report: it can name a patient, or single one out by a
rare disease, a device or a date. A record travels with its model, so it holds no such text, no sample of them, and not
how often one came: only that they were texts, and of which findings. What it holds is what the owner wrote once for all
pictures: the template, and the prompt that it gives for each finding alone. Which findings came together is no part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr.errors import BadInput
from cxr.prompts.lists import NO_FINDING, safe_finding, text_cell
from cxr.prompts.words import Content, write_words

CAPTIONS_METRIC = "captions"  # in a record's metrics: see `TrainedPrompts.for_record`
PROMPT_KIND, TEXT_KIND = "a prompt for each finding", "texts of the pictures"


@dataclass(frozen=True)
class TrainedPrompts:
    """The captions of the training pictures."""

    prompts: Mapping[str, str | None]  # by finding, what asks for it and no other; None: some pictures had own texts
    template: str | None = None  # of `write_words`, by which captions were written; None: all were texts
    exclusive: bool = True  # each picture showed exactly one of the findings

    @property
    def known(self) -> dict[str, str]:
        """The prompts that a record may hold."""
        return {finding: prompt for finding, prompt in self.prompts.items() if prompt is not None}

    @property
    def for_record(self) -> dict[str, Any]:
        """As a record's metrics hold it."""
        kind = PROMPT_KIND if len(self.known) == len(self.prompts) else TEXT_KIND
        return {
            "kind": kind,
            "findings": sorted(self.prompts),
            "prompts": self.known,
            "template": self.template,
            "exclusive": self.exclusive,
        }

    @property
    def findings(self) -> tuple[str, ...]:
        """Those that a picture can show."""
        return tuple(name for name in self.prompts if self.exclusive or name != NO_FINDING)

    def has(self, prompt: str, content: Content) -> bool:
        """Whether the model was trained with it, to a text encoder, which sees neither capitals nor blanks.

        Args:
            content: what is asked for with it.
        """
        ours = [*self.known.values(), *([write_words(self.template, content)] if self.template else [])]
        return _normalise(prompt) in map(_normalise, ours)


def trained_prompts(metrics: Mapping[str, Any], whose: str) -> TrainedPrompts | None:
    """From a record's metrics; None where they have none, as those of version 0.1.

    Raises:
        BadInput: they hold what cannot be a prompt.
    """
    entry = metrics.get(CAPTIONS_METRIC)
    if entry is None:
        return None
    try:
        prompts = {safe_finding(finding): entry["prompts"].get(finding) for finding in entry["findings"]}
        template, exclusive = entry.get("template"), entry.get("exclusive", True)
        for prompt in (*prompts.values(), template):
            if prompt is not None and not any(map(str.isalnum, text_cell({"prompt": prompt}, "prompt"))):
                raise BadInput("a prompt holds no letter or digit")
    except (BadInput, AttributeError, KeyError, TypeError) as error:
        raise BadInput(
            f"{whose}: its record is damaged, {CAPTIONS_METRIC} cannot be read ({error}); restore it"
        ) from None
    return TrainedPrompts(prompts, template, bool(exclusive)) if prompts else None


def _normalise(prompt: str) -> str:
    return " ".join(prompt.casefold().split())
