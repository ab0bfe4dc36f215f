"""A table of files and what each shows: CSV, TSV, JSONL or Parquet."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cxr.data.labels import Labels, merge_readings
from cxr.data.sources.cells import MissingValues, read_cell
from cxr.data.sources.dicom_pixels import read_picture
from cxr.data.sources.files import file_mark, require_below, require_folder
from cxr.data.sources.finding_column import FindingCounts, without_words_for_none
from cxr.data.sources.label_cells import LabelReader, Marks
from cxr.data.sources.missing_files import locate_files
from cxr.data.sources.path_finder import to_local_path
from cxr.data.sources.published import published_as
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.vocabulary import escape_unprintable, parse_age, parse_finding, parse_sex, parse_split
from cxr.errors import BadInput, nearest
from cxr.prompts.lists import MAX_PROMPT
from cxr.prompts.reports import clean_report
from cxr.tables import ReadCursor, Row, Schema, fold_column_name, read_rows

COLUMNS = ("file", "finding", "text", "patient_id", "view", "sex", "age", "split", "source", "licence")
OTHER_NAMES = {"label": "finding", "patient": "patient_id", "license": "licence"}
NUMBERS = ("finding", "label", "patient_id", "patient", "age")
ADVICE = "; name the table's own with --columns file=<its name>,finding=<its name>"
# A number of more digits than a spreadsheet shows: others have become the same.
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)


def table_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """One row for each file that the table names, in its order. Only `file` is required: a path below its folder.

    Where there are both `label` and `finding`, the label is the class and the finding a description (the label of
    NIH's "Infiltration|Pneumonia" is pneumonia); `columns="finding=finding"` has it the other way. Findings exclude
    each other, unless a cell names several, rows name a file again with another finding, or `label_columns` are given.
    Rows of one file, as a row for each box or reader, are one. The whole table is checked before the first row; a file
    that does not exist is refused when it is read, unless none does or `allow_missing`. Files may be DICOM.

    Raises:
        BadInput: no such table, no column for the files, a file outside the folder or named again with another view,
            patient and so on, a wrong cell, none of its files is there, or its cells hold no findings.
    """
    path = Path(place).expanduser()
    table = _Table(path, parse_columns(options.columns), parse_label_columns(options.label_columns), options)
    elsewhere = locate_files(table.named_files(), table.root, path, options.notes)
    summary = table.new_summary()
    for row in table.rows(elsewhere, summary):
        summary.add(row)
    summary.check(table)
    for _, row in summary.first.values():
        if not row.mark and options.allow_missing:
            continue
        if summary.exclusive:
            yield row
        else:
            labels = without_words_for_none(summary.merged.get(row.name, row.labels))
            yield replace(row, labels=labels, exclusive=False)


def parse_label_columns(text: str) -> Marks | None:
    """Reads "Pneumonia,Pleural Effusion,No Finding"; the 1 of a column called so says that all others are absent."""
    columns = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not columns:
        return None
    none = next((name for name in columns if name.casefold().replace("_", " ") == "no finding"), "")
    findings = tuple(name for name in columns if name != none)
    if not findings or {fold_column_name(name) for name in columns} & {*COLUMNS, *OTHER_NAMES}:
        raise BadInput(f"--label-columns {text[:200]!a}: name the columns of findings, one each, with commas between")
    try:
        return Marks(findings, none, renamed={name: parse_finding(name) for name in findings})
    except BadInput as error:
        raise BadInput(f"--label-columns {text[:200]!a}: {error}") from None


def parse_columns(text: str) -> tuple[tuple[str, str], ...]:
    """Reads "file=path,finding=Diagnosis" as the table's own names, folded, with ours.

    Raises:
        BadInput: a name of ours is unknown, or one of either stands twice.
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    mapped = [(fold_column_name(theirs), fold_column_name(ours)) for ours, _, theirs in pairs]
    for theirs, ours in mapped:
        if ours not in COLUMNS or not theirs:
            raise BadInput(
                f"--columns {text[:200]!a}: {ours!a} is no column; {nearest(ours, COLUMNS)}; write ours=theirs"
            )
    if len(dict(mapped)) < len(mapped) or len({ours for _, ours in mapped}) < len(mapped):
        raise BadInput(f"--columns {text[:200]!a}: names a column twice; name each once")
    return tuple(mapped)


@dataclass(frozen=True)
class _Table:
    """The table, which is read twice: for the names of its files, and whole."""

    path: Path
    mapped: tuple[tuple[str, str], ...]
    marks: Marks | None
    options: SourceOptions

    @property
    def root(self) -> Path:
        given = self.options.root
        return (require_folder(str(given)) if given else self.path.absolute().parent).resolve()

    def new_summary(self) -> "_TableSummary":
        return _TableSummary(FindingCounts(self.options.separator), LabelReader(self.marks) if self.marks else None)

    def raw_rows(self) -> Iterator[tuple[Row, ReadCursor]]:
        """The rows under our names. What is wrong inside the caller's loop is raised with file and line."""
        marks = tuple(map(fold_column_name, self.marks.columns)) if self.marks else ()
        schema = Schema(
            "X-rays", (*COLUMNS, *OTHER_NAMES, *marks), watched=(), numbers=(*NUMBERS, *marks), advice=self._advice(),
            renamed=(*self.mapped, *((name, name) for name in marks)),
        )  # fmt: skip
        rows, cursor = read_rows(self.path, schema)
        mapped = {name for _, name in self.mapped}
        try:
            for row in rows:
                # a column that the user mapped comes first, else another name before ours
                yield row | {own: row[n] for n, own in OTHER_NAMES.items() if n in row and own not in mapped}, cursor
        except BadInput as error:
            raise self.locate_error(error, cursor) from None
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read: {error.strerror or 'input/output error'}") from None

    def _advice(self) -> str:
        kinds = " or ".join(f"{kind}:{self.path.parent}" for kind in published_as(self.path))
        return f"{ADVICE}; did you mean {kinds}?" if kinds else ADVICE

    def named_files(self) -> Iterator[tuple[str, str]]:
        """Where each file is named, and its path as written there."""
        for row, cursor in self.raw_rows():
            try:
                yield f"{cursor.unit} {cursor.number}", _file_cell(row, MissingValues())
            except BadInput as error:
                raise self.locate_error(error, cursor) from None

    def rows(self, elsewhere: dict[str, Path], summary: "_TableSummary") -> Iterator[SourceRow]:
        for row, cursor in self.raw_rows():
            summary.ignored = cursor.ignored
            try:
                yield _source_row(row, self.root, elsewhere, summary)
            except BadInput as error:
                raise self.locate_error(error, cursor) from None

    def locate_error(self, error: BadInput, cursor: ReadCursor) -> BadInput:
        where = f"{cursor.unit} {cursor.number}: " if cursor.number else ""
        return BadInput(f"{self.path}: {where}{error}")


@dataclass
class _TableSummary:
    """What the whole table holds, for its errors and notes."""

    names: FindingCounts
    marks: LabelReader | None
    gaps: MissingValues = field(default_factory=MissingValues)
    first: dict[str, tuple[int, SourceRow]] = field(default_factory=dict)  # by name
    ignored: dict[str, None] = field(default_factory=dict)
    number: int = 0
    repeated: int = 0  # rows that say the same of a file as an earlier one
    merged: dict[str, Labels] = field(default_factory=dict)  # of files that rows name with different findings
    first_merged: str = ""
    missing: int = 0  # files
    shortened: int = 0  # patients' ids

    @property
    def exclusive(self) -> bool:
        return not (self.marks or self.names.several or self.merged)

    def read_labels(self, row: Row) -> Labels:
        return self.marks.read(row) if self.marks else self.names.read(row, self.gaps)

    def add(self, row: SourceRow) -> None:
        """Raises `BadInput` for a file that rows say different things of, findings excepted."""
        self.number += 1
        self.shortened += bool(_SHORTENED.fullmatch(row.patient_id or ""))
        number, first = self.first.setdefault(row.name, (self.number, row))
        if number == self.number:
            self.missing += not row.mark
            return
        other = next((name for name in _COMPARED if getattr(first, name) != getattr(row, name)), None)
        if other == "labels" and first.labels.known and row.labels.known:
            both = " and ".join("+".join(one.labels.present) or "none" for one in (first, row))
            self.first_merged = self.first_merged or f"rows {number} and {self.number}, {row.name!r}: {both}"
            self.merged[row.name] = merge_readings([self.merged.get(row.name, first.labels), row.labels])
        elif other:
            both = f"rows {number} and {self.number}"
            raise BadInput(f"{both} name the same file, {row.name!r}, and differ in {other}; keep one")
        else:
            self.repeated += 1

    def check(self, table: _Table) -> None:
        """Raises `BadInput` for a table that cannot be used; else notes what the user should know."""
        name, notes = table.path.name, table.options.notes
        if not self.number:
            raise BadInput(f"{table.path}: holds no rows; put one for each X-ray into it")
        try:
            self.names.check(lambda line: notes(f"{name}: {line}"))
        except BadInput as error:
            raise BadInput(f"{table.path}: {error}") from None
        if self.merged:
            notes(
                f"{name}: {len(self.merged):,} files are named again with another finding (the first: "
                f"{self.first_merged}); what their rows say is read as of one picture"
            )
        if self.missing and table.options.allow_missing:
            notes(f"{name}: {self.missing:,} of {len(self.first):,} files are not there and are left out")
        if line := self.gaps.line():
            notes(f"{name}: {line}")
        if self.repeated:
            notes(
                f"{name}: {self.repeated:,} rows say the same of a file as an earlier row and are read as one with it"
            )
        if self.shortened:
            notes(
                f"{name}: {self.shortened:,} patient ids are numbers that a spreadsheet has shortened, as 1.23E+12: "
                "different patients may have become one; export the column as text"
            )
        if self.ignored:
            notes(f"{name}: ignored columns {', '.join(map(repr, self.ignored))}")


_COMPARED = ("text", "patient_id", "view", "sex", "age", "split", "source", "licence", "labels")


def _file_cell(row: Row, gaps: MissingValues) -> str:
    file = read_cell(row, "file", gaps, MAX_PROMPT)
    if not file:
        raise BadInput("names no file; remove the row or fill in the column 'file'")
    return file


def _source_row(row: Row, root: Path, elsewhere: dict[str, Path], summary: _TableSummary) -> SourceRow:
    def text(column: str, longest: int = 200) -> str:
        return read_cell(row, column, summary.gaps, longest)

    file = _file_cell(row, summary.gaps)
    path = require_below(elsewhere.get(file) or root / to_local_path(file, root), root, file)
    report = text("text", MAX_PROMPT)
    return SourceRow(
        name=escape_unprintable(str(path).removeprefix(str(root)).lstrip("/")),
        load=partial(read_picture, path),
        labels=summary.read_labels(row),
        text=(clean_report(report)[0] or None) if report else None,
        patient_id=text("patient_id") or None,
        view=text("view") or None,
        sex=parse_sex(text("sex")),
        age=parse_age(text("age")),
        split=parse_split(text("split")),
        source=text("source") or "table",
        licence=text("licence") or "unstated",
        mark=file_mark(path),
    )
