"""Lists of the patients behind a model, as pseudonyms, and their comparison with a real set.

A list lies beside its model as `lineage.json`, and in a folder of the owner's, where a set's record finds it by its
commitment. No set of images has one.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from cxr.artifact import read_record
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.data.lineage import Lineage, TrainingPatients, hashed_id, merge_lineages, read_lineage
from cxr.data.lineage_key import VARIABLE, LineageKey, find_owner_key, lists_folder
from cxr.errors import BadInput
from cxr.progress import note
from cxr.store import Store, open_store

LINEAGE_KEY = "lineage.json"  # of a model
TRAINING_PARTS = ("train", "validation")

PatientLists = Mapping[str, TrainingPatients]  # by their commitment
NO_LISTS: PatientLists = MappingProxyType({})


def encode_lists(lineage: Lineage) -> bytes:
    """The lists at hand, for a model's `lineage.json`."""
    full = [each for each in lineage or () if each.names is not None]
    entries = [{"key": each.key, "commitment": each.commitment, "patients": each.names} for each in full]
    return (json.dumps({"lineage": entries}, indent=1) + "\n").encode()


def read_lists(store: Store) -> PatientLists:
    """The lists beside a model; none where it has none.

    Raises:
        BadInput: the file is damaged.
    """
    try:
        return {each.commitment: each for each in _parse_lists(store.get(LINEAGE_KEY), f"{store.uri}/{LINEAGE_KEY}")}
    except KeyError:
        return {}


def read_lists_option(option: str, uris: str | None) -> PatientLists:
    """The lists of models' places, separated by commas, as an option gives them; also of models of version 0.1. A model
    whose base nobody knows the patients of has none.

    Raises:
        BadInput: a place is not one of a fine-tuned model.
    """
    lists: dict[str, TrainingPatients] = {}
    for uri in uris.split(",") if uris else ():
        store = open_store(uri)
        store.check(write=False)
        record, found = read_record(store), dict(read_lists(store))
        recorded = read_lineage(record.metrics) if record else None
        found |= {each.commitment: each for each in merge_lineages(recorded) or () if each.names is not None}
        unknown = record is not None and record.kind == FINE_TUNED_MODEL and recorded is None
        if not found and not unknown:
            raise BadInput(f"{option} {uri}: no {LINEAGE_KEY} there; give the --out of jobs/finetune.py")
        lists |= found
    return lists


def attach_lists(lineage: Lineage, lists: PatientLists) -> Lineage:
    """The lineage with the lists that are at hand."""
    return (
        None if lineage is None else tuple(each if each.names else lists.get(each.commitment, each) for each in lineage)
    )


def attach_lists_beside(place: str, lineage: Lineage) -> Lineage:
    """The lineage of the model at `place` with the lists that lie there; opened only where somebody was shown."""
    return attach_lists(lineage, read_lists(open_store(place)) if lineage else {})


def save_for_owner(lineage: Lineage) -> None:
    """Saves lists in the owner's folder; a failure is noted only, as it makes a later check harder and no more."""
    for each in lineage or ():
        if each.names is None:
            continue
        try:
            _write_private(_saved_path(each.commitment), encode_lists((each,)))
        except (OSError, BadInput) as error:
            why = getattr(error, "strerror", None) or "no home folder"
            note(f"the list of whom the model was shown cannot be kept on this machine ({why}); to check its sets "
                 "against another real set, give --lineage and the model's place")  # fmt: skip
            return


@dataclass(frozen=True)
class Overlap:
    """How a generator's training patients lie in a real set; counts of patients, of pictures where none is known."""

    nobody: bool = False  # this project trained it on no patient
    shown: int = 0
    outside: int = 0  # of them, in neither the training nor the validation part of the real set
    tested: int = 0  # of them, in its test part
    unchecked: str = ""  # why there may be others; empty if these are all


def compare_patients(lineage: Lineage, real: pa.Table, lists: PatientLists) -> Overlap:
    """Compares pseudonyms, which needs the key that they were made with.

    A list that is not at hand is known all the same if it is that of all the real set's training and validation
    patients, or of those of one finding: then their commitment is equal.

    Args:
        real: rows of a real set's catalog.

    Raises:
        BadInput: a list is not the one that its commitment is of, or the key's file cannot be used.
    """
    if not lineage:
        why = "" if lineage == () else "it is not known which patients its generator was trained on"
        return Overlap(nobody=lineage == (), unchecked=why)
    lineage = merge_lineages(lineage) or ()
    key = find_owner_key()
    if key is None or any(each.key != key.id for each in lineage):
        here = f"this one is {key.id}" if key else "there is none here"
        wanted = " and ".join(sorted({each.key for each in lineage} - {key and key.id}))
        why = f"its generator's patients are named under the key {wanted}, and {here}; set {VARIABLE} to the right one"
        return Overlap(unchecked=why)
    parts = _pseudonyms_by_part(real, key)
    learned, known, unchecked = set().union(*(parts[part, ""] for part in TRAINING_PARTS)), set(), ""
    for each in lineage:
        names = _training_pseudonyms(each, key, parts, lists)
        if names is None:
            unchecked = (
                "which patients its generator was trained on is not at hand, and they are not all those of --real's "
                "training and validation parts; give --lineage and the place of the fine-tuned model"
            )
        else:
            known |= names
    return Overlap(False, len(known), len(known - learned), len(known & parts["test", ""]), unchecked)


def find_shown(lineage: Lineage, real: pa.Table, lists: PatientLists) -> np.ndarray | None:
    """Which rows of a real set are of patients that a generator was trained on or chosen by, bool [N]; None where that
    cannot be told. Args and raises as `compare_patients`."""
    key = find_owner_key()
    lineage = merge_lineages(lineage)
    if not lineage or key is None or any(each.key != key.id for each in lineage):
        return None
    parts = _pseudonyms_by_part(real, key)
    known = [_training_pseudonyms(each, key, parts, lists) for each in lineage]
    shown: set[str] = set()
    for names in known:
        if names is None:
            return None
        shown |= names
    rows = zip(real["patient_id"].to_pylist(), real["image_id"].to_pylist(), strict=True)
    return np.array([key.pseudonym(hashed_id(patient, image)) in shown for patient, image in rows])


def _pseudonyms_by_part(real: pa.Table, key: LineageKey) -> dict[tuple[str, str], set[str]]:
    """Pseudonyms by part of the split and finding; the finding is empty for all of a part."""
    columns = (real[name].to_pylist() for name in ("patient_id", "image_id", "split", "finding"))
    found, names = defaultdict(set), {}
    for patient, image, part, finding in zip(*columns, strict=True):
        plain = patient or image
        if plain not in names:
            names[plain] = key.pseudonym(hashed_id(patient, image))
        for which in ("", finding):
            found[part or "", which].add(names[plain])
    return found


def _training_pseudonyms(
    each: TrainingPatients, key: LineageKey, parts: Mapping[tuple[str, str], set[str]], lists: PatientLists
) -> set[str] | None:
    full = each if each.names is not None else lists.get(each.commitment) or _read_saved_list(each.commitment)
    if full is not None and full.names is not None:
        if key.commitment(full.names) != each.commitment:
            raise BadInput(f"the list of patients {each.commitment[:16]}... is damaged; restore it beside its model")
        return set(full.names)
    for finding in dict.fromkeys(finding for _, finding in parts):
        names = set().union(*(parts.get((part, finding), ()) for part in TRAINING_PARTS))
        if key.commitment(names) == each.commitment:
            return names
    return None


def _saved_path(commitment: str) -> Path:
    return lists_folder() / f"{commitment}.json"


def _read_saved_list(commitment: str) -> TrainingPatients | None:
    try:
        path = _saved_path(commitment)
        return next(
            (each for each in _parse_lists(path.read_bytes(), str(path)) if each.commitment == commitment), None
        )
    except (OSError, BadInput):  # as if it had not been kept
        return None


def _parse_lists(data: bytes, where: str) -> Iterator[TrainingPatients]:
    try:
        for each in json.loads(data)["lineage"]:
            yield TrainingPatients(str(each["key"]), str(each["commitment"]), tuple(map(str, each["patients"])))
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{where}: damaged; restore it, or leave it out") from None


def _write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, for the owner's eyes only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".list-", delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
