"""Texts that may leave this machine: those that name no place of it."""

import re

# A local path, a share or a bucket, at the start of a word, or an address with a password in it; no other web address,
# no `and/or`.
PLACE = re.compile(r"""(^|[\s"'(=,;:])(/\w|~[\w-]*/|\.\.?/|[A-Za-z]:[\\/]\w|\\\\\w)|\b(file|s3):/|://[^/\s"']+@""")


def names_place(text: str | None) -> bool:
    """Whether a text holds what may be a path of a machine, a bucket or a password."""
    return bool(text and PLACE.search(text))


def without_place(text: str | None, instead: str) -> str:
    """The text; what stands for it where there is none, or it names a place."""
    return instead if not text or names_place(text) else text
