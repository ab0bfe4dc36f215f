"""What every source gives: one row a picture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxr.data.boxes import Box
from cxr.data.labels import Labels
from cxr.progress import note

Pixels = bytes | np.ndarray


@dataclass(frozen=True)
class SourceRow:
    """One picture of a source. Pickles, so that workers elsewhere can load it."""

    name: str  # unique in the source and safe to print
    load: Callable[[], Pixels] = field(repr=False)
    """A file's bytes, or uint8 or uint16 [H, W] or [H, W, 3]; raises RejectedImage. Not in repr: it may hold a path."""
    labels: Labels  # each finding passes safe_finding
    exclusive: bool = True  # the source's findings exclude each other
    text: str | None = None
    patient_id: str | None = None
    view: str | None = None
    sex: str | None = None  # F or M
    age: int | None = None  # years
    split: str | None = None  # the publisher's own: train, validation or test
    source: str = ""  # in words, without a local path
    licence: str = "unstated"
    boxes: tuple[Box, ...] = ()  # of its findings
    mark: str = ""  # another for other content; none where that is fixed, or was not there when it was listed

    @property
    def finding(self) -> str:
        """Those that are present, as the name of a folder."""
        return self.labels.folder(())


@dataclass(frozen=True)
class SourceOptions:
    """What sources may want to know beside their place; each takes what it needs."""

    size: int = 512  # pixels along each side; phantoms are drawn so large
    seed: int = 0  # of phantoms whose place names none
    columns: str = ""  # of a table: "file=path,finding=label", ours=theirs
    label_columns: str = ""  # of a table: columns of 1, 0, -1 or blank, one a finding
    separator: str = ""  # of a table: what parts findings in a cell
    root: Path | None = None  # what a table's files are relative to; by default the table's folder
    allow_missing: bool = False  # pictures that tables name and that are not there are left out
    notes: Callable[[str], None] = note  # gets a line for each thing the user should know


Source = Callable[[str, SourceOptions], Iterator[SourceRow]]
