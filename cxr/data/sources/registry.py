"""The kinds of source, and how a user names one: KIND:PLACE. A new kind is its module and an entry here."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxr.data.sources.arrays import idx_rows, npz_rows
from cxr.data.sources.dicom import dicom_rows
from cxr.data.sources.digits import digits_rows
from cxr.data.sources.folder import folder_rows
from cxr.data.sources.hub import DEFAULT_DATASET, hub_rows
from cxr.data.sources.layouts import LAYOUTS
from cxr.data.sources.openi import openi_rows
from cxr.data.sources.phantom import phantom_rows
from cxr.data.sources.published import published_as, published_rows
from cxr.data.sources.row import Source, SourceOptions, SourceRow
from cxr.data.sources.table import table_rows
from cxr.errors import BadInput, nearest

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class SourceKind:
    """One kind of source; called with a place and options, it gives the rows of that place."""

    rows: Source
    place: str  # what its place is, for a user who gave none
    default: str = ""  # the place where none is given
    findings: str = ""  # what --findings is where none is given; "" for the source's own

    def __call__(self, place: str, options: SourceOptions) -> Iterator[SourceRow]:
        return self.rows(place, options)


SOURCES = {
    "hub": SourceKind(
        hub_rows,
        "owner/name@revision of an image-classification dataset, or a folder that holds a copy",
        DEFAULT_DATASET,
    ),
    "openi": SourceKind(
        openi_rows, "a folder with the Open-I archives or what was in them, or the http(s) address they lie below"
    ),
    "folder": SourceKind(folder_rows, "a folder with one folder a finding, or train/, val/ and test/ of these"),
    "table": SourceKind(table_rows, "a .csv, .tsv, .jsonl or .parquet file with a column 'file'"),
    "dicom": SourceKind(dicom_rows, "a folder of DICOM files"),
    "npz": SourceKind(npz_rows, "a MedMNIST .npz file"),
    "idx": SourceKind(idx_rows, "the folder of the MNIST files"),
    "digits": SourceKind(digits_rows, "a number of pictures; all 1,797 of scikit-learn's by default", "1797"),
    "phantom": SourceKind(
        phantom_rows, "a number of pictures; a seed and findings if you like: 200,7,normal+pneumonia", "200"
    ),
    **{
        kind: SourceKind(
            partial(published_rows, kind),
            f"the folder of {forms[0].title} as it was downloaded",
            findings=forms[0].merged,
        )
        for kind, forms in LAYOUTS.items()
    },
}


def is_source_name(text: str) -> bool:
    """Whether it begins as KIND:PLACE does, or is a KIND alone that has a default place."""
    kind, colon, _ = text.partition(":")
    return kind in SOURCES and bool(colon or SOURCES[kind].default)


def _guess_kind(text: str) -> str | None:
    """The kind that a place is of which was given alone, if it is there."""
    try:
        path = Path(text or "\0").expanduser()
        if path.is_file():
            return {".npz": "npz"}.get(path.suffix.lower(), "table" if path.suffix.lower() in TABLE_SUFFIXES else None)
        if not path.is_dir():
            return None
        known = (published_as(file) for file in sorted(path.glob("*.csv*")))
        if named := next((kinds[0] for kinds in known if len(kinds) == 1), None):
            return named
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
    if kind not in SOURCES:
        if meant := _guess_kind(text):
            raise BadInput(f"{option} {text[:200]!r}: did you mean {meant}:{text[:200]}?")
        raise BadInput(f"{option} {text[:200]!r}: no kind is called {kind[:60]!r}; {nearest(kind, SOURCES)}")
    place = place.strip() or SOURCES[kind].default
    if not place:
        raise BadInput(f"{option} {kind}: names no place; write {kind}: and {SOURCES[kind].place}")
    return kind, place
