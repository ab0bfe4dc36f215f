"""Texts about pictures in folders, as trainers lay them: 001.txt beside 001.png, and tables named metadata."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr.data.sources.cells import MissingValues, read_cell
from cxr.data.sources.file_kinds import CAPTION_SUFFIXES
from cxr.data.sources.vocabulary import parse_age, parse_sex
from cxr.errors import BadInput
from cxr.prompts.lists import MAX_PROMPT
from cxr.prompts.reports import clean_report
from cxr.tables import Row, Schema, read_rows

CAPTION_TABLES = {f"metadata{suffix}" for suffix in (".csv", ".tsv", ".jsonl", ".parquet")}
TEXT_COLUMNS = ("text", "caption", "prompt", "report")  # the first that is not empty
SCHEMA = Schema(
    "captions",
    ("file_name", *TEXT_COLUMNS, "patient_id", "patient", "view", "sex", "age", "source", "licence", "license"),
    watched=(),
    numbers=("patient_id", "patient", "age"),
)
MAX_CAPTION_BYTES = 4 * MAX_PROMPT  # bytes of a text beside a picture


@dataclass
class CaptionReader:
    """Texts and fields of pictures, by file."""

    fields: dict[Path, dict[str, Any]] = field(default_factory=dict)
    gaps: MissingValues = field(default_factory=MissingValues)
    read: set[Path] = field(default_factory=set)  # files that were understood, and are not counted as skipped
    unusable: list[Path] = field(default_factory=list)

    def of(self, picture: Path, beside: set[Path]) -> dict[str, Any]:
        """The fields of the picture's row; those of a text file beside it come first."""
        fields = self.fields.get(picture, {})
        for suffix in CAPTION_SUFFIXES:
            if (file := picture.with_suffix(suffix)) in beside:
                text = self._text_of(file)
                return {**fields, "text": text} if text else fields
        return fields

    def _text_of(self, file: Path) -> str:
        """The caption; "" for what holds none, such as the numbers of boxes."""
        try:
            data = file.read_bytes()
            text = data.decode("utf-8-sig") if len(data) <= MAX_CAPTION_BYTES else ""
            text = clean_report(read_cell({"text": text}, "text", self.gaps, MAX_PROMPT))[0]
        except (OSError, UnicodeDecodeError, BadInput):
            text, data = "", b"?"
        if data.strip() and not any(map(str.isalpha, text)):
            self.unusable.append(file)
        else:
            self.read.add(file)
        return text if any(map(str.isalpha, text)) else ""

    def add_tables(self, files: Iterable[Path], notes: Callable[[str], None]) -> None:
        """Reads those of the files that are named as tables of captions; one that is none is noted and skipped."""
        for file in sorted(file for file in files if file.name.casefold() in CAPTION_TABLES):
            try:
                rows, cursor = read_rows(file, SCHEMA)
                found = {file.parent / _file_cell(row): _row_fields(row, self.gaps) for row in rows}
            except BadInput as error:
                notes(f"{file.name}: not read as a table of captions: {str(error).removeprefix(f'{file}: ')}")
                continue
            self.read.add(file)
            self.fields |= found
            missing = [path for path in found if not path.exists()]
            if missing:
                notes(f"{file.name}: {len(missing):,} of its {len(found):,} files are not there")
            if cursor.ignored:
                notes(f"{file.name}: ignored columns {', '.join(map(repr, cursor.ignored))}; folders name the findings")

    def lines(self) -> list[str]:
        """A line for each thing that the user should know."""
        lines = [line] if (line := self.gaps.line()) else []
        if self.unusable:
            first = self.unusable[0].name
            lines.append(f"{len(self.unusable):,} text files beside pictures hold no caption (the first: {first!a})")
        return lines


def _file_cell(row: Row) -> str:
    return read_cell(row, "file_name", MissingValues(), MAX_PROMPT).replace("\\", "/")


def _row_fields(row: Row, gaps: MissingValues) -> dict[str, Any]:
    def text(*columns: str, longest: int = 200) -> str:
        return next(filter(None, (read_cell(row, column, gaps, longest) for column in columns)), "")

    fields = {
        "text": clean_report(text(*TEXT_COLUMNS, longest=MAX_PROMPT))[0],
        "patient_id": text("patient_id", "patient"),
        "view": text("view"),
        "sex": parse_sex(text("sex")),
        "age": parse_age(text("age")),
        "source": text("source"),
        "licence": text("licence", "license"),
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}
