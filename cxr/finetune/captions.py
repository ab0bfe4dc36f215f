"""From catalog rows to those that are trained on and what each is said to show."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cxr.data.labels import Vocabulary, content_of, shown_findings
from cxr.errors import BadInput, nearest
from cxr.finetune.config import FinetuneConfig
from cxr.prompts.lists import UNLABELLED
from cxr.prompts.trained_prompts import TrainedPrompts
from cxr.prompts.words import Content, check_template, write_words

Row = Mapping[str, Any]


def select_findings(rows: Sequence[Row], finding: str) -> list[Row]:
    """The catalog rows of the findings: `all`, or names separated by commas.

    Raises:
        BadInput: a finding has no picture.
    """
    known = list(dict.fromkeys(name for row in rows for name in shown_findings(row)))
    if not known:
        raise BadInput("the set has no picture to train on; give another --data")
    wanted = known if finding == "all" else [name.strip() for name in finding.split(",")]
    for name in wanted:
        if name not in known:
            raise BadInput(f"--finding {name[:60]!r}: no picture of the set shows it; {nearest(name, known)}")
    return [row for row in rows if not {*shown_findings(row)}.isdisjoint(wanted)]


def write_captions(
    rows: Sequence[Row], findings: Sequence[str], config: FinetuneConfig, note: Callable[[str], None]
) -> list[str]:
    """What each row's picture is said to show; of the catalog's texts, a missing one is the recipe's prompt.

    Args:
        findings: of the set.
        note: called with how many texts are missing.

    Raises:
        BadInput: no row has a text, and the recipe takes the catalog's; or its prompt has a placeholder that is none.
    """
    check_template(config.instance_prompt, "--instance-prompt")
    prompts = [write_words(config.instance_prompt, content_of(row, findings)) for row in rows]
    if config.captions == "instance":
        shown = {row["finding"] for row in rows}
        if not {"{finding}", "{findings}"} & {*re.findall(r"\{\w+\}", config.instance_prompt)} and len(shown) > 1:
            note(
                f"--instance-prompt {config.instance_prompt[:60]!r}: {len(shown)} findings share one prompt, so the "
                "model cannot be asked for one of them; write {finding} where its name belongs"
            )
        return prompts
    texts = [row["text"] if (row["text"] or "").strip() else None for row in rows]
    silent = texts.count(None)
    if silent == len(rows):
        raise BadInput(
            f"none of the {silent} pictures has a text to be its caption; take --captions instance, one prompt for "
            "each finding, or give the set texts"
        )
    if silent:
        note(f"{silent} of {len(rows)} pictures have no text; their caption is the prompt of their finding")
    return [text or prompt for text, prompt in zip(texts, prompts, strict=True)]


def collect_prompts(
    rows: Sequence[Row], captions: Sequence[str], vocabulary: Vocabulary, config: FinetuneConfig
) -> TrainedPrompts:
    """What was said of the training pictures, as far as a record may tell it.

    A finding has a prompt if every caption of its pictures is the recipe's own. A text is no prompt because all its
    pictures have it, of which there may be one.

    Args:
        rows: of the catalog, those that are trained on, with their captions.
    """
    findings = vocabulary.findings
    ours = [
        caption == write_words(config.instance_prompt, content_of(row, findings))
        for row, caption in zip(rows, captions, strict=True)
    ]
    said: dict[str, bool] = {}  # whether all captions of a finding's pictures are ours
    for row, own in zip(rows, ours, strict=True):
        for name in shown_findings(row):
            said[name] = said.get(name, True) and own
    return TrainedPrompts(
        {name: prompt_of(name, config) if said[name] else None for name in sorted(said) if name != UNLABELLED},
        config.instance_prompt if any(ours) else None,
        vocabulary.exclusive,
    )


def prompt_of(finding: str, config: FinetuneConfig) -> str:
    """What asks for it and no other."""
    return write_words(config.instance_prompt, Content((finding,), None))
