"""The two errors a user can cause and mend; every job prints them as one line and exits with 2."""

import difflib
from collections.abc import Iterable


class BadInput(Exception):
    """What the user gave cannot be used. The message names the input, what is wrong and what to do."""


class StoreError(Exception):
    """The storage refused, vanished or is full. Work already committed is kept; the same command goes on."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known ones, or all of them when none is near."""
    known = list(known)
    folded = {k.casefold(): k for k in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(folded[c] for c in close) + "?"
    return "known: " + ", ".join(known)
