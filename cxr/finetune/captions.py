"""From catalog rows to those that are trained on and what each is said to show."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cxr.errors import BadInput, nearest
from cxr.finetune.config import FinetuneConfig
from cxr.prompts.trained_prompts import TrainedPrompts

Row = Mapping[str, Any]


def select_findings(rows: Sequence[Row], finding: str) -> list[Row]:
    """The catalog rows of the findings: `all`, or names separated by commas.

    Raises:
        BadInput: a finding has no picture.
    """
    known = list(dict.fromkeys(row["finding"] for row in rows))
    if not known:
        raise BadInput("the set has no picture to train on; give another --data")
    wanted = known if finding == "all" else [name.strip() for name in finding.split(",")]
    for name in wanted:
        if name not in known:
            raise BadInput(f"--finding {name[:60]!r}: no picture of the set shows it; {nearest(name, known)}")
    return [row for row in rows if row["finding"] in wanted]


def write_captions(rows: Sequence[Row], config: FinetuneConfig, note: Callable[[str], None]) -> list[str]:
    """What each row's picture is said to show; of the catalog's texts, a missing one is the finding's prompt.

    Args:
        note: called with how many texts are missing.

    Raises:
        BadInput: no row has a text, and the recipe takes the catalog's.
    """
    prompts = [prompt_of(row["finding"], config) for row in rows]
    if config.captions == "instance":
        findings = {row["finding"] for row in rows}
        if len(set(prompts)) < len(findings):
            note(
                f"--instance-prompt {config.instance_prompt[:60]!r}: {len(findings)} findings share one prompt, so the "
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


def prompt_of(finding: str, config: FinetuneConfig) -> str:
    return config.instance_prompt.replace("{finding}", finding.replace("_", " "))


def collect_prompts(rows: Sequence[Row], config: FinetuneConfig) -> TrainedPrompts:
    """What was said of the training pictures, as far as a record may tell it.

    A finding has a prompt if every caption of its pictures is the recipe's own. A text is no prompt because all its
    pictures have it, of which there may be one.

    Args:
        rows: of the plan, those that are trained on.
    """
    said: dict[str, set[str]] = {}
    for row in rows:
        said.setdefault(row["finding"], set()).add(row["caption"])
    ours = {finding: prompt_of(finding, config) for finding in sorted(said)}
    return TrainedPrompts({finding: ours[finding] if said[finding] == {ours[finding]} else None for finding in ours})
