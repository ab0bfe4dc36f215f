"""From catalog rows to those that are trained on and what each is said to show."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cxr.errors import BadInput, nearest
from cxr.finetune.config import FinetuneConfig

Row = Mapping[str, Any]


def chosen_rows(rows: Sequence[Row], finding: str) -> list[Row]:
    """The catalog rows of the findings: `all`, or names separated by commas.

    Raises:
        BadInput: a finding has no picture.
    """
    held = list(dict.fromkeys(row["finding"] for row in rows))
    if not held:
        raise BadInput("the set has no picture to train on; give another --data")
    wanted = held if finding == "all" else [name.strip() for name in finding.split(",")]
    for name in wanted:
        if name not in held:
            raise BadInput(f"--finding {name[:60]!r}: no picture of the set shows it; {nearest(name, held)}")
    return [row for row in rows if row["finding"] in wanted]


def captions_of(rows: Sequence[Row], config: FinetuneConfig, note: Callable[[str], None]) -> list[str]:
    """What each row's picture is said to show; of the catalog's texts, a missing one is the finding's prompt.

    Args:
        note: hears how many texts are missing.

    Raises:
        BadInput: no row has a text, and the recipe takes the catalog's.
    """
    prompts = [config.instance_prompt.replace("{finding}", row["finding"].replace("_", " ")) for row in rows]
    if config.captions == "instance":
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
