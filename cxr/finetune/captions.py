"""From catalog rows to those that are trained on and what each is said to show."""

from collections.abc import Mapping, Sequence
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


def captions_of(rows: Sequence[Row], config: FinetuneConfig) -> list[str]:
    """What each row's picture is said to show.

    Raises:
        BadInput: a row has no text, and the recipe takes the catalog's.
    """
    if config.captions == "instance":
        return [config.instance_prompt.replace("{finding}", row["finding"].replace("_", " ")) for row in rows]
    silent = [row["image_id"] for row in rows if not (row["text"] or "").strip()]
    if silent:
        raise BadInput(
            f"{len(silent)} of {len(rows)} pictures have no text (the first is {silent[0]}); "
            "give the set texts, or use --captions instance"
        )
    return [row["text"] for row in rows]
