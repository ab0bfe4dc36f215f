"""The errors a user can cause and mend, which every job tells without a traceback."""

import difflib
import errno
import tempfile
from collections.abc import Iterable


class BadInput(Exception):
    """What the user gave cannot be used. The message names the input, what is wrong and what to do."""


class SomeFailed(Exception):
    """Units or trials were given up; the others are stored. The job ends with exit code 3."""


class StoreError(Exception):
    """The storage refused, vanished or is full. Work already committed is kept; the same command goes on."""


def disk_full(error: BaseException, place: object = "") -> StoreError | None:
    """For an error of a full disk or quota a `StoreError` naming the place, by default the error's file; else None."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    place = place or error.filename or tempfile.gettempdir()
    return StoreError(f"{place}: disk full; free space and run the same command again")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the known ones that hold it or are nearest, or all of them when none is near."""
    known = list(known)
    folded, asked = {k.casefold(): k for k in known}, name.casefold()
    holding = [k for k in folded if len(asked) > 2 and asked in k][:3]
    close = holding or difflib.get_close_matches(asked, folded, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(folded[c] for c in close) + "?"
    return "known: " + ", ".join(known)
