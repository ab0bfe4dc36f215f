"""Cells of a table that say which findings a picture has: a column of marks for each, or one column of names."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cxr.data.labels import LISTS, Labels
from cxr.errors import BadInput
from cxr.prompts.lists import safe_finding
from cxr.tables import Row, fold_column_name, is_missing_value

PRESENT, ABSENT, UNCERTAIN = ("1", "1.0", 1), ("0", "0.0", 0), ("-1", "-1.0", -1)
STATES: dict[object, str] = {
    **dict.fromkeys(PRESENT, "present"), **dict.fromkeys(ABSENT, "absent"), **dict.fromkeys(UNCERTAIN, "uncertain"),
}  # fmt: skip


class LabelCells(Protocol):
    """How a table tells what is known of a picture's findings."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that tell it, as the table calls them."""

    @property
    def required(self) -> tuple[tuple[str, ...], ...]:
        """Those of which one at least must be there, for each finding."""

    def parse(self, cells: tuple[object, ...]) -> Labels:
        """What the cells of one row say; `BadInput` for words of no meaning."""


@dataclass(frozen=True)
class Marks:
    """A column for each finding: 1 present, 0 absent, -1 uncertain, empty unknown, as CheXpert has them."""

    findings: tuple[str, ...]  # columns
    no_finding: str = ""  # the column whose 1 says that every finding but `apart` is absent
    apart: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)  # columns to findings; several may be one

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.findings, self.no_finding) if self.no_finding else self.findings

    @property
    def required(self) -> tuple[tuple[str, ...], ...]:
        columns: dict[str, list[str]] = {}
        for column in self.columns:
            columns.setdefault(self.finding_of(column), []).append(column)
        return tuple(map(tuple, columns.values()))

    def parse(self, cells: tuple[object, ...]) -> Labels:
        marked = ((column, _mark(column, cell)) for column, cell in zip(self.columns, cells, strict=True))
        states = {self.finding_of(column): state for column, state in marked if state}
        if self.no_finding and states.pop(self.no_finding, None) == "present":
            states |= dict.fromkeys(set(map(self.finding_of, self.findings)).difference(self.apart), "absent")
        return Labels(*(tuple(sorted(f for f, state in states.items() if state == name)) for name in LISTS))

    def finding_of(self, column: str) -> str:
        return self.renamed.get(column, column)


def _mark(column: str, cell: object) -> str | None:
    if cell is None or cell != cell:  # NaN is a gap too
        return None
    key = cell.strip() if isinstance(cell, str) else cell
    if key in STATES:
        return STATES[key]
    if key == "" or (isinstance(key, str) and is_missing_value(key)):
        return None
    raise BadInput(
        f"{column} is {str(cell)[:40]!a}, which is no mark of a finding; 1 is present, 0 absent, -1 uncertain, and an "
        "empty cell unknown"
    )


@dataclass(frozen=True)
class Names:
    """A column that names the findings that are present; the others of the set are absent."""

    column: str
    separator: str | None = "|"  # None: a list as Python writes it, ['mass', 'nodule']; "": one finding a row
    no_finding: tuple[str, ...] = ()  # words for: every finding is absent
    ignored: tuple[str, ...] = ()  # words that say nothing of findings
    findings: tuple[str, ...] = ()  # all that there are; none: those that are named
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def required(self) -> tuple[tuple[str, ...], ...]:
        return ((self.column,),)

    def parse(self, cells: tuple[object, ...]) -> Labels:
        words = list(self._words(str(cells[0] or "")))
        present = {self._finding(word) for word in words if word not in (*self.no_finding, *self.ignored)}
        if not present and not set(words) & set(self.no_finding):
            return Labels()
        absent = tuple(sorted(set(self.findings) - present)) if self.findings else None
        return Labels(tuple(sorted(present)), absent)

    def _words(self, cell: str) -> Iterable[str]:
        if not cell.strip() or is_missing_value(cell):
            return ()
        if self.separator is None:
            try:
                named = ast.literal_eval(cell)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                named = None
            if not isinstance(named, list | tuple) or not all(isinstance(word, str) for word in named):
                raise BadInput(f"{self.column} is {cell[:60]!a}, which is no list such as ['mass', 'nodule']")
        else:
            named = cell.split(self.separator) if self.separator else [cell]
        return filter(None, (word.strip() for word in named))

    def _finding(self, word: str) -> str:
        finding = safe_finding(self.renamed.get(word, word))
        if self.findings and finding not in self.findings:
            raise BadInput(f"{self.column} names {word[:60]!a}, which is no finding of this set")
        return finding


class LabelReader:
    """Reads the labels of rows; equal cells are parsed once, so that rows cost a look-up."""

    def __init__(self, cells: LabelCells) -> None:
        self.cells = cells
        self.columns = tuple(map(fold_column_name, cells.columns))
        self._parsed: dict[tuple[object, ...], Labels] = {}

    def read(self, row: Row) -> Labels:
        """Raises `BadInput` as `LabelCells.parse`."""
        cells = tuple(map(row.get, self.columns))
        labels = self._parsed.get(cells)
        if labels is None:
            labels = self._parsed[cells] = self.cells.parse(cells)
        return labels
