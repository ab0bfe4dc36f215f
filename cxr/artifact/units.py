"""Units of an artifact in the making: an object each, named by its number, so that a restart sees what is stored."""

from collections.abc import Iterator

from cxr.artifact.keys import COMMITS
from cxr.store.base import Store


def unit_key(folder: str, unit: int, suffix: str = ".json") -> str:
    return f"{folder}{unit:08d}{suffix}"


def listed_units(store: Store, folder: str = COMMITS) -> Iterator[int]:
    """The numbers of the units that have an object in `folder`."""
    return (int(found.key.rsplit("/", 1)[-1].split(".")[0]) for found in store.list(folder))
