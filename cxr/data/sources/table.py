"""A table that says which file shows what: CSV, TSV, JSONL or Parquet."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cxr.data.prompt_lists import MAX_PROMPT, text_cell
from cxr.data.reports import clean_report
from cxr.data.sources.files import mark_of, read_file, require_below, require_folder
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.words import age_of, finding_of, printable, sex_of, split_of
from cxr.data.tables import Record, Schema, fold, read_records
from cxr.errors import BadInput, nearest

COLUMNS = ("file", "finding", "text", "patient_id", "view", "sex", "age", "split", "source", "licence")
OTHER_NAMES = {"label": "finding", "patient": "patient_id", "license": "licence"}
NUMBERS = ("finding", "label", "patient_id", "patient", "age")
ADVICE = "; name the table's own with --columns file=<its name>,finding=<its name>"
LONGEST = 200  # characters of a cell that is no report


def table_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """One row for each of the table's, in its order. Only `file` is required: a path below the table's folder.

    Where there are both `label` and `finding`, the label is the class and the finding a description (the label of
    NIH's "Infiltration|Pneumonia" is pneumonia); `columns="finding=finding"` has it the other way. The whole table is
    checked before the first row; a file that does not exist is refused when it is read.

    Raises:
        BadInput: no such table, no column for the files, a file outside the folder or named twice, a wrong cell.
    """
    path = Path(place).expanduser()
    mapped = parse_columns(options.columns)
    seen: dict[str, int] = {}
    for number, row in _rows(path, mapped, options):
        if first := seen.get(row.name):
            raise BadInput(f"{path}: rows {first} and {number} name the same file, {row.name!r}; remove one")
        seen[row.name] = number
    if not seen:
        raise BadInput(f"{path}: holds no rows; put one for each X-ray into it")
    yield from (row for _, row in _rows(path, mapped, SourceOptions(root=options.root, notes=lambda line: None)))


def parse_columns(text: str) -> tuple[tuple[str, str], ...]:
    """Reads "file=path,finding=Diagnosis" as the table's own names, folded, with ours.

    Raises:
        BadInput: a name of ours is unknown, or one of either stands twice.
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    mapped = [(fold(theirs), fold(ours)) for ours, _, theirs in pairs]
    for theirs, ours in mapped:
        if ours not in COLUMNS or not theirs:
            raise BadInput(
                f"--columns {text[:200]!a}: {ours!a} is no column; {nearest(ours, COLUMNS)}; write ours=theirs"
            )
    if len(dict(mapped)) < len(mapped) or len({ours for _, ours in mapped}) < len(mapped):
        raise BadInput(f"--columns {text[:200]!a}: names a column twice; name each once")
    return tuple(mapped)


def _rows(path: Path, mapped: tuple[tuple[str, str], ...], options: SourceOptions) -> Iterator[tuple[int, SourceRow]]:
    """The rows with their numbers, the first below the header being 1."""
    known = (*COLUMNS, *OTHER_NAMES)
    schema = Schema("X-rays", known, watched=(), numbers=NUMBERS, advice=ADVICE, renamed=mapped)
    records, place = read_records(path, schema)
    root = (require_folder(str(options.root)) if options.root else path.absolute().parent).resolve()
    ours = {name for _, name in mapped}
    try:
        for number, record in enumerate(records, 1):
            yield number, _row(_merged(record, ours), root)
    except BadInput as error:
        where = f"{place.unit} {place.number}: " if place.number else ""
        raise BadInput(f"{path}: {where}{error}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or 'input/output error'}") from None
    if place.ignored:
        options.notes(f"{path.name}: ignored columns {', '.join(map(repr, place.ignored))}")


def _merged(record: Record, mapped: set[str]) -> Record:
    """The record under our names; a column the user mapped comes first, else another name before ours."""
    others = {ours: record[name] for name, ours in OTHER_NAMES.items() if name in record and ours not in mapped}
    return record | others


def _row(record: Record, root: Path) -> SourceRow:
    file = _cell(record, "file", MAX_PROMPT)
    if not file:
        raise BadInput("names no file; remove the row or fill in the column 'file'")
    path = require_below(root / file, root, file)
    return SourceRow(
        name=printable(path.relative_to(root).as_posix()),
        load=partial(read_file, path),
        finding=finding_of(_cell(record, "finding")),
        text=clean_report(_cell(record, "text", MAX_PROMPT))[0] or None,
        patient_id=_cell(record, "patient_id") or None,
        view=_cell(record, "view") or None,
        sex=sex_of(_cell(record, "sex")),
        age=age_of(_cell(record, "age")),
        split=split_of(_cell(record, "split")),
        source=_cell(record, "source") or "table",
        licence=_cell(record, "licence") or "unstated",
        mark=mark_of(path),
    )


def _cell(record: Record, column: str, longest: int = LONGEST) -> str:
    """The cell as text without white space around; whole numbers lose the point that tables with gaps store."""
    value = record.get(column)
    if value is None or value != value:  # NaN is a gap too
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(int(value) if value == int(value) else value) if abs(value) < 2**53 else str(value)
    text = text_cell({column: value}, column).strip()
    if len(text) > longest:
        raise BadInput(f"{column} is {len(text):,} characters long; at most {longest} are allowed")
    return text
