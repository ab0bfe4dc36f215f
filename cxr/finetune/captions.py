"""From catalog rows to the pictures that are trained on and what each is said to show."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from cxr.data.images import decode_gray, fit
from cxr.errors import BadInput, nearest
from cxr.finetune.batches import Pictures
from cxr.finetune.config import FinetuneConfig

READ_THREADS = 16
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


def read_pictures(rows: Sequence[Row], read: Callable[[Row], bytes], config: FinetuneConfig) -> Pictures:
    """All pictures in memory, at the size of the recipe; `read` gives a row's file.

    Raises:
        BadInput: a file is no picture, or a caption is missing.
    """
    captions = captions_of(rows, config)

    def pixels(row: Row) -> np.ndarray:
        return fit(decode_gray(read(row), row["image_id"]), config.size, "keep")

    with ThreadPoolExecutor(READ_THREADS) as threads:
        return Pictures(np.stack(list(threads.map(pixels, rows))), captions)
