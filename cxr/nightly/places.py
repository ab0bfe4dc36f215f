"""What lies where below a nightly job's --out.

data/<digest>/      ingested sets, named by the digest of their recipe and of what the source's pictures are
models/<digest>/    fine-tuned models, named by that of theirs, which holds those of base model and data
nights/<date>/      set/, evaluation/, audit/ where there is one, and report/, an artifact each
trend/              all nights that were judged, in one page
latest/, lease/     see pointer.py and lease.py
"""

from cxr.errors import BadInput
from cxr.store import Store, open_store

DATA, MODELS, NIGHTS, TREND, LATEST, LEASES = "data/", "models/", "nights/", "trend/", "latest/", "lease/"
SET, EVALUATION, AUDIT, REPORT = "set", "evaluation", "audit", "report"


def below(root: Store, key: str) -> Store:
    """The store of an artifact that lies below another place."""
    return open_store(f"{root.uri}/{key}")


def check_place(root: Store) -> None:
    """`BadInput` unless the place is empty or one of nights. Looks at one object."""
    first = next(iter(root.list()), None)
    if first is not None and not first.key.startswith((DATA, MODELS, NIGHTS, TREND, LATEST, LEASES)):
        raise BadInput(f"{root.uri}: not empty and not a place of nights ({first.key[:100]}); choose another --out")
