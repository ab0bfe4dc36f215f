"""What every source gives: one row a picture; and how a user names a source."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxr.errors import BadInput, nearest
from cxr.progress import note

Pixels = bytes | np.ndarray

PLACES = {  # kind -> what its place is
    "hub": "owner/name@revision of an image-classification dataset, or a folder that holds a copy",
    "openi": "a folder with the Open-I archives or what was in them, or the http(s) address they lie below",
    "folder": "a folder with one folder a finding, or train/, val/ and test/ of these",
    "table": "a .csv, .tsv, .jsonl or .parquet file with a column 'file'",
    "dicom": "a folder of DICOM files",
    "npz": "a MedMNIST .npz file",
    "idx": "the folder of the MNIST files",
    "digits": "a number of pictures; all 1,797 of scikit-learn's by default",
    "phantom": "a number of pictures; a seed and findings if you like: 200,7,normal+pneumonia",
}
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
DEFAULT_PLACES = {"hub": "hf-vision/chest-xray-pneumonia", "digits": "1797", "phantom": "200"}


@dataclass(frozen=True)
class SourceRow:
    """One picture of a source. Pickles, so that workers elsewhere can load it."""

    name: str  # unique in the source and safe to print
    load: Callable[[], Pixels] = field(repr=False)
    """A file's bytes, or pixels uint8 or uint16 [H, W] or [H, W, 3]; raises Rejected. Not shown: it may hold a path."""
    finding: str  # passes safe_finding
    text: str | None = None
    patient_id: str | None = None
    view: str | None = None
    sex: str | None = None  # F or M
    age: int | None = None  # years
    split: str | None = None  # the publisher's own: train, validation or test
    source: str = ""  # in words, without a local path
    licence: str = "unstated"
    mark: str = ""  # another for other content; none where that is fixed, or was not there when it was listed


@dataclass(frozen=True)
class SourceOptions:
    """What sources may want to know beside their place; each takes what it needs."""

    size: int = 512  # pixels along each side; phantoms are drawn so large
    seed: int = 0  # of phantoms whose place names none
    columns: str = ""  # of a table: "file=path,finding=label", ours=theirs
    root: Path | None = None  # what a table's files are relative to; by default the table's folder
    notes: Callable[[str], None] = note  # gets a line for each thing the user should know


Source = Callable[[str, SourceOptions], Iterator[SourceRow]]


def names_source(text: str) -> bool:
    """Whether it begins as KIND:PLACE does, or is a KIND alone that has a default place."""
    kind, colon, _ = text.partition(":")
    return kind in (PLACES if colon else DEFAULT_PLACES)


def _meant(text: str) -> str | None:
    """The kind that a place is of which was given alone, if it is there."""
    try:
        path = Path(text or "\0").expanduser()
        if path.is_file():
            return {".npz": "npz"}.get(path.suffix.lower(), "table" if path.suffix.lower() in TABLES else None)
        if not path.is_dir():
            return None
        names = {file.name for _, file in zip(range(200), path.rglob("*"), strict=False) if file.is_file()}
    except (OSError, ValueError, RuntimeError):
        return None
    if any(name.endswith(("-ubyte", "-ubyte.gz")) for name in names):
        return "idx"
    return "dicom" if any(name.casefold().endswith((".dcm", ".dicom")) for name in names) else "folder"


def parse_source(text: str, option: str = "--source") -> tuple[str, str]:
    """Splits KIND:PLACE.

    Raises:
        BadInput: the kind is unknown, or the place is missing where there is no default.
    """
    kind, _, place = text.partition(":")
    if kind not in PLACES:
        if meant := _meant(text):
            raise BadInput(f"{option} {text[:200]!r}: did you mean {meant}:{text[:200]}?")
        raise BadInput(f"{option} {text[:200]!r}: no kind is called {kind[:60]!r}; {nearest(kind, PLACES)}")
    place = place.strip() or DEFAULT_PLACES.get(kind, "")
    if not place:
        raise BadInput(f"{option} {kind}: names no place; write {kind}: and {PLACES[kind]}")
    return kind, place
