"""What stands behind a picture or a model: patients, in hashes that name nobody, and the sources of pictures."""

import hashlib
from collections.abc import Iterable

SEEN = "patients_seen"  # in a record's metrics: see `seen_by`
SOURCES = "sources"  # in a record's metrics: see `sources_of`
PHANTOM = "phantom (computer-drawn, of no patient)"  # what a catalog calls the source of phantoms
UNKNOWN = "unknown"  # a source that no record tells
OF_PHANTOMS = "Of phantoms, or of what a model has learned from them: no figure here says anything about patients."


def hashed(patient: str | None, image_id: str) -> str:
    """sha256 of the patient's id, or of the picture's where no patient is known: it is one of its own."""
    return hashlib.sha256((patient or image_id).encode()).hexdigest()


def seen_by(*models: Iterable[str] | None) -> list[str] | None:
    """The patients, as `hashed`, that any of these models was trained on or chosen by; None if one's are not known."""
    if None in models:
        return None
    return sorted(set().union(*models))


def sources_of(*parts: Iterable[str | None]) -> list[str]:
    """The sources of the pictures that all parts were made of or learned from, through however many models."""
    return sorted({source or UNKNOWN for part in parts for source in part})


def is_phantom(sources: Iterable[str]) -> bool:
    """Whether phantoms are among what stands behind it, so that its figures say nothing about patients."""
    return PHANTOM in sources


def about_patients(sources: Iterable[str], seen: Iterable[str] | None) -> str:
    """What the card of a model's pictures says of patients: no more than is known.

    Args:
        sources: see `sources_of`.
        seen: patients whom this project showed the model, see `seen_by`; None if that is not known.
    """
    if set(sources) == {PHANTOM}:
        who = "None is of a patient."
    elif seen is not None and not list(seen):
        who = "None is of a patient whom this project showed the model."
    else:
        who = (
            "One can be a near-duplicate of a training picture, and a model can tell of its training without one. "
            "`jobs/evaluate.py` looks for near-duplicates of whole pictures, and for nothing else."
        )
    return f"{who} {OF_PHANTOMS}" if is_phantom(sources) else who
