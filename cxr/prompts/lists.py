"""The user's own prompts: a table in, checked and cleaned rows out, one at a time."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cxr.errors import BadInput
from cxr.prompts.reports import remove_marks as clean_prompt
from cxr.tables import Place, Record, Schema, read_records

UNLABELLED = "unlabelled"  # the finding of a prompt that names none
MAX_COUNT = 1_000_000  # images a row may ask for
MAX_SEED = 2**63 - 1
MAX_PROMPT = 10_000  # characters; far beyond any text encoder, so longer is a mistake in the file
MAX_FINDING = 64  # characters
COLUMNS = ("prompt", "finding", "negative_prompt", "count", "seed")
SCHEMA = Schema("prompts", COLUMNS, watched=COLUMNS, numbers=("count", "seed"), plain_text=True)

_Default = TypeVar("_Default", int, None)


@dataclass(frozen=True)
class PromptRow:
    """One wish of the user: `count` images of `prompt`, filed under `finding`."""

    prompt: str  # cleaned, 1 to MAX_PROMPT characters
    finding: str  # safe as a folder name
    negative_prompt: str  # cleaned; "" for none
    count: int  # 1 to MAX_COUNT
    seed: int | None  # of the first image, each next has one more; all 0 to MAX_SEED; None leaves them to the plan


@dataclass
class _Tally:
    """What was seen on the way, for the notes."""

    prompts: int = 0
    marks: int = 0
    marked_prompts: int = 0
    weighted_prompts: int = 0
    spellings: dict[str, str] = field(default_factory=dict)  # case-folded finding -> its first spelling
    clashes: dict[tuple[str, str], None] = field(default_factory=dict)


def read_prompts(path: str | Path, notes: Callable[[str], None]) -> Iterator[PromptRow]:
    """Reads a list of prompts row by row, in the order of the file.

    Args:
        path: .csv, .tsv, .jsonl, .parquet (columns `COLUMNS`, of which only prompt is required) or .txt (a prompt a
            line); UTF-8, with or without byte order mark.
        notes: gets a line for each thing the user should know, after the last row.

    Raises:
        BadInput: at once for a path that is no such file; while reading, for the first row that is wrong.
    """
    path = Path(path)
    records, place = read_records(path, SCHEMA)
    return _rows(path, records, place, notes)


def typed_prompt(prompt: str, count: int, notes: Callable[[str], None]) -> PromptRow:
    """A prompt from the command line, checked and cleaned like a row of a list.

    Raises:
        BadInput: the prompt says nothing or the count is out of range.
    """
    tally = _Tally()
    try:
        row = _parse({"prompt": prompt, "count": count}, tally)
    except BadInput as error:
        raise BadInput(f"--prompt: {error}") from None
    for line in _notes(tally, Place(SCHEMA, "prompt")):
        notes(f"--prompt: {line}")
    return row


def _rows(path: Path, records: Iterator[Record], place: Place, notes: Callable[[str], None]) -> Iterator[PromptRow]:
    tally = _Tally()
    try:
        for record in records:
            yield _parse(record, tally)
        if not tally.prompts:
            place.number = 0
            raise BadInput("holds no prompts; put at least one into it" if path.stat().st_size else "is empty")
    except BadInput as error:
        where = f"{place.unit} {place.number}: " if place.number else ""
        raise BadInput(f"{path}: {where}{error}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or 'input/output error'}") from None
    for line in _notes(tally, place):
        notes(f"{path.name}: {line}")


def _parse(record: Record, tally: _Tally) -> PromptRow:
    prompt, marks = _clean(record, "prompt")
    negative, negative_marks = _clean(record, "negative_prompt")
    if not any(map(str.isalnum, prompt)):
        why = "holds only de-identification marks" if marks else "is empty or holds no letter or digit"
        raise BadInput(f"the prompt {why}; write what to draw")
    refuse_tags(prompt, negative)
    finding = safe_finding(text_cell(record, "finding").strip(" \t\r\n"))
    row = PromptRow(
        prompt=prompt,
        finding=finding,
        negative_prompt=negative,
        count=_whole(record, "count", 1, MAX_COUNT, default=1),
        seed=_whole(record, "seed", 0, MAX_SEED, default=None),
    )
    if row.seed is not None and row.seed + row.count - 1 > MAX_SEED:
        raise BadInput(f"seed {row.seed} with a count of {row.count:,} goes beyond {MAX_SEED:,}; give a lower seed")
    tally.prompts += 1
    tally.marks += marks + negative_marks
    tally.marked_prompts += bool(marks + negative_marks)
    tally.weighted_prompts += weighs(prompt) or weighs(negative)
    _watch_spelling(finding, tally)
    return row


_TAG = re.compile(r"<\s*(lora|lyco|hypernet|embedding)\s*:[^<>]*>", re.IGNORECASE)
_WEIGHT = re.compile(
    r"\([^():]*[^\d\s():]\s*:\s*\d*\.?\d+\s*\)"  # (word:1.3), and not (ratio 1:2) or (12:30)
    r"|\(\([^()]+\)\)|\[[^\[\]*]*\w[^\[\]*]*\]|\{[^{}]*\w[^{}]*\}"  # ((word)), [word], {word}
)
_KEYWORD = re.compile(r"(?<!\w)(BREAK|AND|ADDCOMM|ADDROW)(?!\w)")


def refuse_tags(*prompts: str) -> None:
    """`BadInput` for `<lora:name:0.8>` and such: it asks for weights that would not be there."""
    for prompt in prompts:
        if found := _TAG.search(prompt):
            raise BadInput(
                f"the prompt holds {found[0][:80]!r}, the syntax of web UIs; take it out and give the file with --lora"
            )


def weighs(prompt: str) -> bool:
    """Whether it weighs words as web UIs do: (word:1.3), [word], and BREAK, AND among small letters."""
    return bool(_WEIGHT.search(prompt) or (_KEYWORD.search(prompt) and re.search("[a-z]", prompt)))


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, lone surrogates


def text_cell(record: Record, column: str) -> str:
    """The cell's text, "" for an empty one; `BadInput` if it is no text, too long or holds control characters."""
    value = record.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"{column} is {type(value).__name__}, not text")
    if len(value) > MAX_PROMPT:
        raise BadInput(f"{column} is {len(value):,} characters long; at most {MAX_PROMPT:,} are allowed")
    if bad := _UNPRINTABLE.search(value):
        raise BadInput(f"{column} holds the control character U+{ord(bad[0]):04X} at position {bad.start()}; remove it")
    return value


def _clean(record: Record, column: str) -> tuple[str, int]:
    return clean_prompt(text_cell(record, column))


def _whole(record: Record, column: str, low: int, high: int, default: _Default) -> int | _Default:
    """A whole number; "3", "3.0" and 3.0 count as one, as tables with gaps store integers that way."""
    value = record.get(column)
    if value is None or value != value or (isinstance(value, str) and not value.strip()):  # NaN is a gap too
        return default
    shown = repr(value)[:40] if isinstance(value, str | int | float) else type(value).__name__
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:  # beyond, floats skip integers
        value = int(value)
    is_number = isinstance(value, str | int) and not isinstance(value, bool)
    digits = re.fullmatch(r"([+-]?[0-9]{1,30})(?:\.0*)?", str(value).strip()) if is_number else None
    if digits is None or not low <= int(digits[1]) <= high:
        raise BadInput(f"{column} is {shown}; give a whole number from {low:,} to {high:,}")
    return int(digits[1])


def safe_finding(name: str) -> str:
    """The name as a folder, object key and class label: itself, or `UNLABELLED` for "".

    Only ASCII letters, digits, `_`, `-` and blanks inside: other alphabets have several encodings of one visible name
    (NFC, NFD, look-alikes), so one class could become two folders. It starts with a letter or digit because pyarrow and
    Spark skip folders that start with `.` or `_`, and commands read a leading `-` as an option.

    Raises:
        BadInput: any other name.
    """
    if name == "":
        return UNLABELLED
    if not re.fullmatch(rf"[A-Za-z0-9](?:[A-Za-z0-9_ -]{{0,{MAX_FINDING - 2}}}[A-Za-z0-9_-])?", name):
        raise BadInput(
            f"finding {name[:60]!a} cannot be a folder name; use 1 to {MAX_FINDING} letters A-Z, digits, '_', '-' or "
            "blanks inside, starting with a letter or digit"
        )
    return name


# --- notes ---


def _watch_spelling(finding: str, tally: _Tally) -> None:
    if len(tally.spellings) >= 10_000:  # bounds memory; that many are no classes any more
        return
    first = tally.spellings.setdefault(finding.casefold(), finding)
    if first != finding and len(tally.clashes) < 20:
        tally.clashes[(first, finding)] = None


def _notes(tally: _Tally, place: Place) -> Iterator[str]:
    if tally.marks:
        marks = f"{tally.marks:,} de-identification mark{'s'[: tally.marks != 1]} (XXXX, ___, [**...**])"
        prompts = f"{tally.marked_prompts:,} of {tally.prompts:,} prompts"
        yield f"removed {marks} from {prompts}, because generators memorise them"
    if tally.weighted_prompts:
        prompts = f"{tally.weighted_prompts:,} of {tally.prompts:,} prompts"
        yield f"{prompts} have the syntax of web UIs ((word:1.3), [word], BREAK, AND), which is read as words"
    if place.ignored:
        names = ", ".join(map(repr, place.ignored))
        yield f"ignored columns {names}; columns known: {', '.join(COLUMNS)}"
    for first, other in tally.clashes:
        yield f"findings {first!r} and {other!r} differ only in upper and lower case; they become two classes"
