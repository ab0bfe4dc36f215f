"""Tables as files: CSV, TSV, JSONL, Parquet or plain text in, a dictionary a row out.

Text formats go through the standard library (`csv`, `json`) and not pyarrow's readers, because those infer types, skip
rows and cannot name the line that a user has to correct. Memory does not grow with the number of rows.
"""

import csv
import difflib
import gzip
import io
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cxr.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LINE_CHARACTERS = 1 << 20  # bounds memory when a file has no line ends

Row = dict[str, object]  # known column -> value as the file holds it

# What pandas, databases, spreadsheets and people write for a missing value, folded.
_MISSING_VALUES = (
    "nan <na> na n/a none null nil nat undefined unknown missing - -- --- \u2013 \u2014 ? ?? . .. #n/a #na #null! "
    "#ref! #value! #name? #div/0! #num! -nan 1.#ind -1.#ind 1.#qnan -1.#qnan"
)
MISSING_VALUES = {*_MISSING_VALUES.split(), "not available", "not applicable", "not recorded", "#n/a n/a"}


def is_missing_value(text: str) -> bool:
    """Whether a cell's text stands for a missing value, as `nan` and `N/A` do; False for ""."""
    return text.strip().casefold() in MISSING_VALUES


@dataclass(frozen=True)
class Schema:
    """Which columns a table may have."""

    noun: str  # what its rows are, for messages
    columns: tuple[str, ...]  # the first is required
    watched: tuple[str, ...]  # of these, a misspelt name is refused; others are ignored
    numbers: tuple[str, ...]  # may be stored as numbers, the others as text only
    lists: tuple[str, ...] = ()  # may be stored as lists of text too
    plain_text: bool = False  # a .txt file with the first column's value on each line will do
    advice: str = ""  # for a missing column
    renamed: tuple[tuple[str, str], ...] = ()  # the table's own name, folded, and ours

    @property
    def required(self) -> str:
        return self.columns[0]

    @property
    def suffixes(self) -> list[str]:
        return [suffix for suffix in _READERS if self.plain_text or suffix != ".txt"]

    def own_name(self, name: str) -> str:
        """The table's column name as ours. A column that already has the name given to a renamed one is another."""
        folded, renamed = fold_column_name(name), dict(self.renamed)
        taken = folded in renamed.values() and folded not in renamed
        return f"{folded} (another)" if taken else renamed.get(folded, folded)


@dataclass
class ReadCursor:
    """Which row is being read, so that an error can name it, and which columns are ignored."""

    schema: Schema
    unit: str  # "line" or "row"
    number: int = 0  # 1-based; 0 for the file as a whole
    ignored: dict[str, None] = field(default_factory=dict)  # column names, in order of appearance


def read_rows(path: Path, schema: Schema) -> tuple[Iterator[Row], ReadCursor]:
    """The rows of a file as the file holds them, and the cursor that moves along as they are read.

    Raises:
        BadInput: at once, naming the file, for a path that is no such file; while reading, for a wrong row, without
            the file's name and the row, which the cursor has.
    """
    if (suffix := _text_suffix(path)) not in schema.suffixes:
        kinds = ", ".join(schema.suffixes)
        raise BadInput(f"{path}: {schema.noun} are read from {kinds} files, not from {path.suffix or 'others'}")
    _require_file(path, schema)
    reader = _READERS[suffix]
    cursor = ReadCursor(schema, unit="row" if reader is _read_parquet else "line")
    return reader(path, cursor), cursor


def _text_suffix(path: Path) -> str:
    """How the file ends; of one that gzip has packed, how it ends without that."""
    packed = path.suffix.lower() == ".gz" and path.with_suffix("").suffix.lower() != ".parquet"
    return path.with_suffix("").suffix.lower() if packed else path.suffix.lower()


def _open_bytes(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _require_file(path: Path, schema: Schema) -> None:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable name"
        raise BadInput(f"{str(path)[:200]}: cannot read the {schema.noun}: {reason}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise BadInput(f"{path}: is {kind}; name one {', '.join(schema.suffixes)} file")


def _reject_other_formats(path: Path) -> None:
    with _open_bytes(path) as file:
        head = file.read(4)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head:
        raise BadInput("looks like UTF-16; save it as UTF-8")
    for magic, kind in ((b"PK\3\4", "a spreadsheet or zip archive"), (b"\x1f\x8b", "gzip"), (b"PAR1", "Parquet")):
        if head.startswith(magic):
            raise BadInput(f"is {kind} inside, not text; export or unpack it, or correct the suffix")


def _read_lines(path: Path, cursor: ReadCursor) -> Iterator[str]:
    """Lines with their ends kept (quoted CSV cells may span some); \\n, \\r\\n and \\r all end a line."""
    try:
        _reject_other_formats(path)
        yield from _decode_lines(path, cursor)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        cursor.number = 0
        raise BadInput("is no whole gzip file; get it again") from None


def _decode_lines(path: Path, cursor: ReadCursor) -> Iterator[str]:
    with io.TextIOWrapper(_open_bytes(path), encoding="utf-8-sig", newline="") as file:
        try:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_CHARACTERS), ""), 1):
                cursor.number = number
                if len(line) == MAX_LINE_CHARACTERS:
                    raise BadInput(f"is {MAX_LINE_CHARACTERS:,} characters or longer; does the file have line ends?")
                yield line
        except UnicodeDecodeError:
            cursor.number = 0
            raise BadInput(_locate_undecodable(path)) from None


def _locate_undecodable(path: Path) -> str:
    offset = 0
    with _open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                where = f"line {number}: byte 0x{line[error.start]:02x} at offset {offset + error.start}"
                return f"{where} is not UTF-8; save the file as UTF-8"
            offset += len(line)
    return "is not UTF-8; save the file as UTF-8"


def _read_text(path: Path, cursor: ReadCursor) -> Iterator[Row]:
    return ({cursor.schema.required: line} for line in _read_lines(path, cursor) if line.strip(" \t\r\n"))


_SEPARATOR = re.compile(r'"?sep=(.)"?[\s,;]*', re.IGNORECASE)  # the line that Excel writes and reads before the header


def _read_csv(path: Path, cursor: ReadCursor) -> Iterator[Row]:
    """Rows of empty cells alone, as spreadsheets leave them below a table, are skipped."""
    lines = _read_lines(path, cursor)
    first = next(lines, "")
    delimiter = "\t" if _text_suffix(path) == ".tsv" else ","
    if separator := _SEPARATOR.fullmatch(first):
        delimiter, first = separator[1], "\n"  # an empty line, so that lines are counted as the file has them
    rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True, skipinitialspace=True)
    header = None
    while True:
        start = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            cursor.number = start
            raise BadInput(f"{error}; is a quotation mark open or misplaced in this row?") from None
        if row is None:
            return
        cursor.number = start
        if not row or (len(row) > 1 and not any(map(str.strip, row))):
            continue
        if header is None:
            _reject_other_delimiters(row, delimiter, cursor.schema)
            header, columns = row, _known_columns(row, cursor)
        elif len(row) != len(header) and (len(row) < len(header) or any(map(str.strip, row[len(header) :]))):
            raise BadInput(f"has {len(row)} cells, the header has {len(header)}; quote text that holds {delimiter!r}")
        else:
            yield {name: row[index] for index, name in columns.items()}


def _reject_other_delimiters(header: list[str], delimiter: str, schema: Schema) -> None:
    if schema.required in map(schema.own_name, header):
        return
    for other, name in ((";", "semicolons"), ("\t", "tabs"), (",", "commas")):
        if other != delimiter and schema.required in map(schema.own_name, delimiter.join(header).split(other)):
            raise BadInput(
                f"the columns are separated by {name}, as some spreadsheets export them; save the file with commas "
                "as .csv, with tabs as .tsv, or as .jsonl"
            )


def _read_jsonl(path: Path, cursor: ReadCursor) -> Iterator[Row]:
    for line in _read_lines(path, cursor):
        if not line.strip(" \t\r\n"):
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            example = json.dumps({cursor.schema.required: "..."})
            raise BadInput(f"is not JSON; put one whole object on each line, as {example}") from None
        if not isinstance(row, dict):
            example = json.dumps({cursor.schema.required: "..."})
            raise BadInput(f"holds a JSON {type(row).__name__}, not an object as {example}")
        columns, values = _known_columns(list(row), cursor), list(row.values())
        yield {name: values[index] for index, name in columns.items()}


def _read_parquet(path: Path, cursor: ReadCursor) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            columns = {schema.field(i): name for i, name in _known_columns(schema.names, cursor).items()}
            for stored, name in columns.items():
                _require_type(stored.type, name, cursor.schema)
            for batch in file.iter_batches(batch_size=4096, columns=[stored.name for stored in columns]):
                names = [columns[stored] for stored in batch.schema]
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    cursor.number += 1
                    yield dict(zip(names, values, strict=True))
            rows, stated = cursor.number, file.metadata.num_rows
            if rows != stated:
                cursor.number = 0
                raise BadInput(f"is damaged: it holds {rows:,} rows and states {stated:,}; write it again")
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"is not a readable Parquet file: {reason}") from None


def _require_type(kind: "pa.DataType", column: str, schema: Schema) -> None:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    fits = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)
    if column in schema.numbers:
        fits = fits or types.is_integer(kind) or types.is_floating(kind)
    if column in schema.lists and (types.is_list(kind) or types.is_large_list(kind)):
        fits = types.is_string(kind.value_type) or types.is_large_string(kind.value_type)
    if not fits:
        numbers = " and ".join(schema.numbers)
        raise BadInput(f"column {column!r} holds {str(kind)[:60]}; store it as text or, for {numbers}, integers")


Reader = Callable[[Path, ReadCursor], Iterator[Row]]
_READERS: dict[str, Reader] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}


# --- columns ---


@lru_cache(maxsize=1 << 12)
def fold_column_name(name: str) -> str:
    """Upper case, blanks and hyphens in a column's name do not matter."""
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _known_columns(names: Sequence[str], cursor: ReadCursor) -> dict[int, str]:
    """Position -> our name of the column."""
    columns = _match_columns(tuple(names), cursor.schema)
    if len(columns) < len(names) and len(cursor.ignored) < 20:
        cursor.ignored.update(dict.fromkeys(n[:40] for i, n in enumerate(names) if i not in columns))
    return columns


@lru_cache(maxsize=64)  # every line of a JSONL file asks, mostly the same
def _match_columns(names: tuple[str, ...], schema: Schema) -> dict[int, str]:
    own_names = [schema.own_name(name) for name in names]
    columns = {i: name for i, name in enumerate(own_names) if name in schema.columns}
    others = {name: i for i, name in enumerate(own_names) if i not in columns and len(name) <= 40}
    for known in schema.columns:
        if own_names.count(known) > 1:
            raise BadInput(f"column {known!r} is there twice; keep one")
        close = difflib.get_close_matches(known, others, n=1, cutoff=0.75) if known in schema.watched else []
        if known not in own_names and close:
            raise BadInput(f"column {names[others[close[0]]]!r} looks like {known!r}; rename it, or remove it")
    for known in (schema.required, *dict(schema.renamed).values()):
        if known not in own_names:
            raise BadInput(_missing_column_message(known, names, schema))
    return columns


def _missing_column_message(known: str, names: Sequence[str], schema: Schema) -> str:
    theirs = next((name for name, own in schema.renamed if own == known), known)
    there = ", ".join(repr(name[:40]) for name in names[:8]) or "none"
    return (
        f"has no column {theirs!r}; columns there: {there}; columns known: {', '.join(schema.columns)}{schema.advice}"
    )


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items, the last one shorter (itertools has it from Python 3.12 on)."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
