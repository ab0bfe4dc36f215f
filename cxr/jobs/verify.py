"""Read an artifact back, every object: `cxr verify URI`.

Exit code 0: all there and as its record says. 1: something missing, extra or damaged. 2: bad input.
"""

from dataclasses import dataclass

from rich.console import Console
from tyro.conf import Positional

from cxr.artifact import Verification, read_record, verify
from cxr.data.lineage import read_lineage, warn_of_hashed_ids
from cxr.store import open_store

_SHOWN = 20


@dataclass(frozen=True)
class Args:
    uri: Positional[str]
    """Local folder or s3://bucket/prefix of a finished artifact."""


def main(args: Args) -> int:
    """Read back every object that the artifact's record names and compare size and sha256."""
    with Console(stderr=True).status("reading back") as status:
        store = open_store(args.uri)
        found = verify(store, lambda so_far: status.update(f"read back {_sum(so_far)}"))
    if record := read_record(store):
        warn_of_hashed_ids(store.uri, read_lineage(record.metrics))
    print(f"{_sum(found)}: {len(found.missing)} missing, {len(found.extra)} extra, {len(found.damaged)} damaged")
    for word, keys in (("missing", found.missing), ("extra", found.extra), ("damaged", found.damaged)):
        for key in keys[:_SHOWN]:
            print(f"{word}: {key}")
        if len(keys) > _SHOWN:
            print(f"{word}: and {len(keys) - _SHOWN} more")
    return 0 if found.clean else 1


def _sum(found: Verification) -> str:
    return f"{found.checked} objects, {found.bytes / 1e6:.1f} MB"
