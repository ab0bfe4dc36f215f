"""The lineage of a picture or a model: the patients it was trained on, without naming them, and its sources.

Of the patients of a training a record holds a commitment only: a keyed digest of the list of their pseudonyms, which
are keyed digests themselves (`lineage_key`). The list stays with the model and with its owner (`lineage_lists`).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr.data.lineage_key import LineageKey, owner_key
from cxr.progress import note

LINEAGE = "lineage"  # key in a record's metrics: see `record_lineage`
HASHED_IDS = "patients_seen"  # the same of version 0.1: a list of `hashed_id`
SET_SOURCES = "sources"  # key in a record's metrics: see `merge_sources`
PHANTOM = "phantom (computer-drawn, of no patient)"  # the source of phantoms in a catalog
UNKNOWN_SOURCE = "unknown"  # a source that no record names
UNNAMED = "sources of few pictures each, which are not named here"
TOLD = {PHANTOM, UNKNOWN_SOURCE}  # always
LEAST_SHARED = 10  # pictures of a source, so that it names none of them
MOST_NAMED = 20
PHANTOM_NOTICE = "Of phantoms, or of what a model has learned from them: no number here says anything about patients."


@dataclass(frozen=True)
class TrainingPatients:
    """The patients of one training."""

    key: str  # id of the key; empty where `names` are version 0.1's, which anybody can turn back into ids
    commitment: str
    names: tuple[str, ...] | None = field(default=None, compare=False, repr=False)  # sorted, where the list is at hand


Lineage = tuple[TrainingPatients, ...] | None  # of all trainings behind a model; empty: nobody; None: that is not known


def hashed_id(patient: str | None, image_id: str) -> str:
    """sha256 of the patient's id, or of the picture's where no patient is known: it is one of its own. No secret."""
    return hashlib.sha256((patient or image_id).encode()).hexdigest()


def pseudonymise(hashed_ids: Iterable[str], key: LineageKey) -> TrainingPatients:
    """The patients of a training under their pseudonyms.

    Args:
        hashed_ids: see `hashed_id`.
    """
    names = tuple(sorted({key.pseudonym(hashed) for hashed in hashed_ids}))
    return TrainingPatients(key.id, key.commitment(names), names)


def merge_lineages(*models: Lineage) -> Lineage:
    """The patients that any of these models was trained on or chosen by; None if one's are not known.

    Raises:
        BadInput: names of version 0.1 are among them, and the owner's key cannot be had, see `owner_key`.
    """
    if None in models:
        return None
    protected = (_protect(each) for model in models for each in model or ())
    known: dict[str, TrainingPatients] = {}
    for each in sorted(protected, key=lambda each: (each.commitment, each.names is None)):
        known.setdefault(each.commitment, each)
    return tuple(known.values())


def _protect(each: TrainingPatients) -> TrainingPatients:
    if each.key:
        return each
    if each.names is None:
        raise ValueError("patients without a key are known by their names, and there are none")
    return pseudonymise(each.names, owner_key())


def record_lineage(lineage: Lineage) -> list[dict[str, str]] | None:
    """The lineage for a record: keys and commitments, which reveal neither who a patient is nor how many there are."""
    return None if lineage is None else [{"key": each.key, "commitment": each.commitment} for each in lineage]


def read_lineage(metrics: Mapping[str, Any]) -> Lineage:
    """The lineage from the metrics of a record of any version."""
    if LINEAGE in metrics:
        entries = metrics[LINEAGE]
        return None if entries is None else tuple(TrainingPatients(each["key"], each["commitment"]) for each in entries)
    plain = metrics.get(HASHED_IDS)
    if not plain:
        return None if plain is None else ()
    return (TrainingPatients("", "", tuple(plain)),)


def warn_of_hashed_ids(uri: str, lineage: Lineage) -> None:
    """Warns where the record of this place holds hashes that anybody can turn back into ids."""
    if not all(each.key for each in lineage or ()):
        note(f"{uri}: its record tells who is in the training data, to anyone who tries ids; before you share it, run "
             f"python jobs/protect.py {uri}")  # fmt: skip


def name_sources(pictures: Iterable[str | None]) -> list[str]:
    """The sources of a set, from that of each picture. A table's own can be a file of its patient, so that those which
    few pictures of several share are not named: what is made of the set tells its sources to everybody."""
    counts = Counter(source or UNKNOWN_SOURCE for source in pictures)
    shared = {source for source, count in counts.items() if count >= LEAST_SHARED or source in TOLD or len(counts) == 1}
    return merge_sources(shared, [UNNAMED] * (len(shared) < len(counts)))


def merge_sources(*parts: Iterable[str]) -> list[str]:
    """The sources of the pictures that all parts were made of or learned from, through however many models. So many
    that they can only be those of single pictures, as artifacts of version 0.1 have them, are not named."""
    found = {source for part in parts for source in part}
    return sorted(found if len(found) <= MOST_NAMED else (found & TOLD) | {UNNAMED})


def has_phantoms(sources: Iterable[str]) -> bool:
    """Whether phantoms are among the sources, so that no metric is about patients."""
    return PHANTOM in sources


def phantom_notice(sources: Iterable[str], what: str = "it") -> str:
    """What a reader must know where phantoms are behind pictures or a model; empty where none are.

    Args:
        sources: see `merge_sources`.
        what: how the sentence calls them.
    """
    if not has_phantoms(sources):
        return ""
    others = ", ".join(source for source in sources if source != PHANTOM)
    return f"Behind {what} are phantoms and {others}." if others else PHANTOM_NOTICE


def describe_patients(sources: Iterable[str], lineage: Sequence[TrainingPatients] | None) -> str:
    """The statement on patients for the card of a model's pictures: only what is known, and never that it is safe.

    Args:
        sources: see `merge_sources`.
        lineage: the patients this project trained the model on; None if that is not known.
    """
    if set(sources) == {PHANTOM}:
        who = "None is of a patient: what stands behind them was drawn by a program."
    elif lineage is not None and not lineage:
        who = (
            "This project showed the model no patient; whom others showed it before it was published is not known here."
        )
    else:
        who = (
            "One can be a near-duplicate of a training picture, or show a patient in another way, and a model can tell "
            "of its training without either. `jobs/evaluate.py` looks for near-duplicates of whole pictures, and for "
            "nothing else: to find none does not make a set safe to share."
        )
    return f"{who} {phantom_notice(sources, 'them')}".rstrip()
