"""Who stands behind a picture or a model, in hashes that two artifacts can compare without naming anybody."""

import hashlib
from collections.abc import Iterable

SEEN = "patients_seen"  # in a record's metrics: see `seen_by`


def hashed(patient: str | None, image_id: str) -> str:
    """sha256 of the patient's id, or of the picture's where no patient is known: it is one of its own."""
    return hashlib.sha256((patient or image_id).encode()).hexdigest()


def seen_by(*models: Iterable[str] | None) -> list[str] | None:
    """The patients, as `hashed`, that any of these models was trained on or chosen by; None if one's are not known."""
    if None in models:
        return None
    return sorted(set().union(*models))
