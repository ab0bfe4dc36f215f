"""Texts about pictures in folders, as trainers lay them: 001.txt beside 001.png, and tables named metadata."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr.data.sources.cells import Gaps, cell
from cxr.data.sources.kinds import CAPTIONS
from cxr.data.sources.words import age_of, sex_of
from cxr.errors import BadInput
from cxr.prompts.lists import MAX_PROMPT
from cxr.prompts.reports import clean_report
from cxr.tables import Record, Schema, read_records

NAMES = {f"metadata{suffix}" for suffix in (".csv", ".tsv", ".jsonl", ".parquet")}
TEXTS = ("text", "caption", "prompt", "report")  # the first that says something
SCHEMA = Schema(
    "captions",
    ("file_name", *TEXTS, "patient_id", "patient", "view", "sex", "age", "source", "licence", "license"),
    watched=(),
    numbers=("patient_id", "patient", "age"),
)
LONGEST = 4 * MAX_PROMPT  # bytes of a text beside a picture


@dataclass
class Captions:
    """What is told of pictures: by file, the fields of its row."""

    told: dict[Path, dict[str, Any]] = field(default_factory=dict)
    gaps: Gaps = field(default_factory=Gaps)
    read: set[Path] = field(default_factory=set)  # files that were understood, and are not passed over
    unusable: list[Path] = field(default_factory=list)

    def of(self, picture: Path, beside: set[Path]) -> dict[str, Any]:
        """The fields of the picture's row; those of a text file beside it come first."""
        told = self.told.get(picture, {})
        for suffix in CAPTIONS:
            if (file := picture.with_suffix(suffix)) in beside:
                text = self._text_of(file)
                return {**told, "text": text} if text else told
        return told

    def _text_of(self, file: Path) -> str:
        """The caption; "" for what holds none, such as the numbers of boxes."""
        try:
            data = file.read_bytes()
            text = data.decode("utf-8-sig") if len(data) <= LONGEST else ""
            text = clean_report(cell({"text": text}, "text", self.gaps, MAX_PROMPT))[0]
        except (OSError, UnicodeDecodeError, BadInput):
            text, data = "", b"?"
        if data.strip() and not any(map(str.isalpha, text)):
            self.unusable.append(file)
        else:
            self.read.add(file)
        return text if any(map(str.isalpha, text)) else ""

    def add_tables(self, files: Iterable[Path], notes: Callable[[str], None]) -> None:
        """Reads those of the files that are named as tables of captions; one that is none is told and passed over."""
        for file in sorted(file for file in files if file.name.casefold() in NAMES):
            try:
                records, place = read_records(file, SCHEMA)
                told = {file.parent / _file(record): _fields(record, self.gaps) for record in records}
            except BadInput as error:
                notes(f"{file.name}: not read as a table of captions: {str(error).removeprefix(f'{file}: ')}")
                continue
            self.read.add(file)
            self.told |= told
            missing = [path for path in told if not path.exists()]
            if missing:
                notes(f"{file.name}: {len(missing):,} of its {len(told):,} files are not there")
            if place.ignored:
                notes(f"{file.name}: ignored columns {', '.join(map(repr, place.ignored))}; folders name the findings")

    def lines(self) -> list[str]:
        """A line for each thing that the user should know."""
        told = [line] if (line := self.gaps.line()) else []
        if self.unusable:
            first = self.unusable[0].name
            told.append(f"{len(self.unusable):,} text files beside pictures hold no caption (the first: {first!a})")
        return told


def _file(record: Record) -> str:
    return cell(record, "file_name", Gaps(), MAX_PROMPT).replace("\\", "/")


def _fields(record: Record, gaps: Gaps) -> dict[str, Any]:
    def told(*columns: str, longest: int = 200) -> str:
        return next(filter(None, (cell(record, column, gaps, longest) for column in columns)), "")

    fields = {
        "text": clean_report(told(*TEXTS, longest=MAX_PROMPT))[0],
        "patient_id": told("patient_id", "patient"),
        "view": told("view"),
        "sex": sex_of(told("sex")),
        "age": age_of(told("age")),
        "source": told("source"),
        "licence": told("licence", "license"),
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}
