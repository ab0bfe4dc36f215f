"""Training on a part of the patients, as if there were no more of them: the checkpoint is chosen by some of these. And
without those of whom a coin says so."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from cxr.data.canaries import LEFT_OUT, draw_canaries
from cxr.data.canaries import OPTION as CANARIES_OPTION
from cxr.data.labels import shown_findings
from cxr.data.lineage_key import owner_key
from cxr.data.subsets import patient_entries
from cxr.errors import BadInput
from cxr.finetune.captions import Row
from cxr.finetune.config import FinetuneConfig

CHOOSING = 1 / 8  # of the part, to choose by: what ingest's validation part is of training and validation
OPTION = "--patients"
Names = Collection[str] | None  # of patients; None: no list was given


def parse_patients(text: str) -> tuple[float, frozenset[str] | None]:
    """Percent of the training part's patients, or 100 and their names, from `10%` or a file of ids, one a line.

    Raises:
        BadInput: it is neither.
    """
    number = text.removesuffix("%").strip()
    if text.endswith("%") and number.replace(".", "", 1).isdigit():
        return float(number), None
    try:
        names = frozenset(Path(text).read_text(encoding="utf-8").split("\n")) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{OPTION} {text[:60]!r}: give a share as 10%, or a file of patients' ids, one a line ({error})"
        ) from None
    if not names:
        raise BadInput(f"{OPTION} {text[:60]!r}: names nobody; give one patient's id a line")
    return 100.0, names


def select_patients(rows: Sequence[Row], config: FinetuneConfig, names: Names) -> list[Row]:
    """The set's rows where these patients are all that there is: of the training part theirs alone, of whom some choose
    in place of the validation part, whose patients a generator would otherwise have seen. The test part stays. A set
    without a training part is left as it is.

    Args:
        names: the patients; None: the share of them that the recipe says, drawn as the study draws them.

    Raises:
        BadInput: a name is no patient of the training part, or a finding has fewer than two of these patients.
    """
    trained = [row for row in rows if row["split"] == "train"]
    if not trained or (names is None and config.patients == 100):
        return list(rows)
    if names is None:
        names = {unit for unit, share in patient_shares(trained, config) if share <= config.patients / 100}
    elif lacking := set(names) - {patient_of(row) for row in trained}:
        raise BadInput(f"{OPTION}: {len(lacking)} of {len(names)} are no patients of the training part; leave them out")
    kept = [row for row in trained if patient_of(row) in names]
    choosing = {unit for unit, share in patient_shares(kept, config) if share <= CHOOSING}
    for finding in sorted({name for row in trained for name in shown_findings(row)}):
        if len({patient_of(row) in choosing for row in kept if finding in shown_findings(row)}) < 2:
            raise BadInput(
                f"{OPTION}: fewer than two of them show {finding}, and one has to choose the checkpoint; take more"
            )
    return [
        assign_split(row, choosing)
        for row in rows
        if row["split"] == "test" or (row["split"] == "train" and patient_of(row) in names)
    ]


def leave_out_canaries(rows: Sequence[Row], config: FinetuneConfig) -> list[Row]:
    """The rows, with those of canaries who are not trained on in a part of their own.

    Raises:
        BadInput: there are too few canaries or patients, or a finding would have no picture left to train on.
    """
    trained = [row for row in rows if row["split"] == "train"]
    known = {row["patient_id"] for row in trained} - {None}
    drawn = draw_canaries(known, config.canaries, config.seed, owner_key())
    left = {patient for patient, kept in drawn.items() if not kept}
    kept = {name for row in trained if row["patient_id"] not in left for name in shown_findings(row)}
    if lacking := sorted({name for row in trained for name in shown_findings(row)} - kept):
        raise BadInput(f"{CANARIES_OPTION} {config.canaries}: leave no picture of {lacking[0]} to train on; take fewer")
    return [{**row, "split": LEFT_OUT, "fold": None} if row["split"] == "train" and row["patient_id"] in left else row
            for row in rows]  # fmt: skip


def patient_shares(rows: Sequence[Row], config: FinetuneConfig) -> list[tuple[str, float]]:
    """The patient of each row, and the share from which on it is drawn."""
    units = [patient_of(row) for row in rows]
    shown = [shown_findings(row) for row in rows]
    return list(zip(units, patient_entries(shown, units, config.subset_seed), strict=True))


def assign_split(row: Row, choosing: Collection[str]) -> dict[str, Any]:
    return (
        {**row, "split": "validation", "fold": None}
        if row["split"] == "train" and patient_of(row) in choosing
        else {**row}
    )


def patient_of(row: Row) -> str:
    """The patient, or the picture where none is known."""
    return row["patient_id"] or row["image_id"]


def patients_digest(names: Collection[str]) -> dict[str, str]:
    """What a recipe holds of a list of patients: a digest, not their names."""
    return {"patients": "sha256 of the list " + hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()}
