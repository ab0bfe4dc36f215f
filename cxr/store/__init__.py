"""Where artifacts live: a local folder or S3 behind one small interface. Import from here.

base.py      the interface, keys, digests
local.py     the local folder
s3.py        S3 (s3_client.py connects, s3_errors.py explains, capabilities.py knows what an endpoint cannot)
ranges.py    an object of S3 as a file
place.py     from a URI to a store
record.py    an artifact's record: what it is made of; its presence means complete
files.py     local files as objects
units.py     the commits of an artifact in the making
verify.py    reads everything back
"""

from cxr.store.base import Listed, Store, Stored, check_key, digest_of, sha256
from cxr.store.files import get_pieces, json_lines, parquet, put_file, put_folder, put_pieces
from cxr.store.place import open_store
from cxr.store.record import (
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
from cxr.store.units import COMMITS, listed_units, unit_key
from cxr.store.verify import Verification, verify

__all__ = [
    "CATALOG_KEY",
    "COMMITS",
    "PLAN_KEY",
    "Listed",
    "Made",
    "Record",
    "Store",
    "Stored",
    "Verification",
    "check_key",
    "commit_finished",
    "commit_plan",
    "commit_record",
    "digest_of",
    "get_pieces",
    "json_lines",
    "library_versions",
    "listed_units",
    "open_store",
    "parquet",
    "plan_marks",
    "put_file",
    "put_folder",
    "put_pieces",
    "read_record",
    "recipe_digest",
    "refuse_other",
    "replace_record",
    "sha256",
    "unit_key",
    "verify",
]
