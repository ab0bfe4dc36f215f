"""The life of an artifact: its record, whose presence means complete, and the commits of one in the making.

record.py    what it is made of; begin, commit
units.py     the commits of an artifact in the making
verify.py    reads everything back
"""

from cxr.artifact.record import (
    CATALOG_KEY,
    PLAN_KEY,
    Made,
    Record,
    commit_finished,
    commit_plan,
    commit_record,
    library_versions,
    plan_marks,
    read_record,
    recipe_digest,
    refuse_other,
    replace_record,
)
from cxr.artifact.units import COMMITS, listed_units, unit_key
from cxr.artifact.verify import Verification, verify

__all__ = [
    "CATALOG_KEY",
    "COMMITS",
    "PLAN_KEY",
    "Made",
    "Record",
    "Verification",
    "commit_finished",
    "commit_plan",
    "commit_record",
    "library_versions",
    "listed_units",
    "plan_marks",
    "read_record",
    "recipe_digest",
    "refuse_other",
    "replace_record",
    "unit_key",
    "verify",
]
