"""The user's own prompts: a table in, checked and cleaned rows out, one at a time."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cxr.errors import BadInput, nearest
from cxr.prompts.reports import remove_marks as clean_prompt
from cxr.tables import ReadCursor, Row, Schema, is_missing_value, read_rows

UNLABELLED = "unlabelled"  # the finding of a prompt that names none
NO_FINDING = "No_Finding"  # of a picture in which every finding of its set is absent
MAX_COUNT = 1_000_000  # images a row may ask for
MAX_SEED = 2**63 - 1
MAX_PROMPT = 10_000  # characters; far beyond any text encoder, so longer is a mistake in the file
MAX_FINDING = 64  # characters
MAX_AGE = 120  # years
WATCHED = ("prompt", "finding", "findings", "negative_prompt", "count", "seed")
COLUMNS = (*WATCHED, "view", "sex", "age")
SCHEMA = Schema("prompts", COLUMNS, WATCHED, numbers=("count", "seed", "age"), lists=("findings",), plain_text=True)
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}

_Default = TypeVar("_Default", int, None)


@dataclass(frozen=True)
class PromptRow:
    """One row of the list: `count` images of `prompt`, and what is asked for with it."""

    prompt: str  # cleaned, 1 to MAX_PROMPT characters
    finding: str  # or several joined by "+", `NO_FINDING` or `UNLABELLED`; each is safe as a folder name
    negative_prompt: str  # cleaned; "" for none
    count: int  # 1 to MAX_COUNT
    seed: int | None  # of the first image; each next has one more, up to MAX_SEED; None: the plan draws seeds
    absent: tuple[str, ...] | None = None  # findings; None: all others of the set
    view: str | None = None
    sex: str | None = None  # F or M
    age: int | None = None  # years


@dataclass
class _Counts:
    """Counts over the rows read so far, for the notes."""

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
    rows, cursor = read_rows(path, SCHEMA)
    return _parse_rows(path, rows, cursor, notes)


def typed_prompt(prompt: str, count: int, notes: Callable[[str], None]) -> PromptRow:
    """A prompt from the command line, checked and cleaned like a row of a list.

    Raises:
        BadInput: the prompt is empty or the count is out of range.
    """
    counts = _Counts()
    try:
        row = _parse({"prompt": prompt, "count": count}, counts)
    except BadInput as error:
        raise BadInput(f"--prompt: {error}") from None
    for line in _notes(counts, ReadCursor(SCHEMA, "prompt")):
        notes(f"--prompt: {line}")
    return row


def _parse_rows(
    path: Path, rows: Iterator[Row], cursor: ReadCursor, notes: Callable[[str], None]
) -> Iterator[PromptRow]:
    counts = _Counts()
    try:
        for row in rows:
            yield _parse(row, counts)
        if not counts.prompts:
            cursor.number = 0
            raise BadInput("holds no prompts; put at least one into it" if path.stat().st_size else "is empty")
    except BadInput as error:
        where = f"{cursor.unit} {cursor.number}: " if cursor.number else ""
        raise BadInput(f"{path}: {where}{error}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or 'input/output error'}") from None
    for line in _notes(counts, cursor):
        notes(f"{path.name}: {line}")


def _parse(row: Row, counts: _Counts) -> PromptRow:
    prompt, marks = _clean_cell(row, "prompt")
    negative, negative_marks = _clean_cell(row, "negative_prompt")
    if not any(map(str.isalnum, prompt)):
        why = "holds only de-identification marks" if marks else "is empty or holds no letter or digit"
        raise BadInput(f"the prompt {why}; write what to draw")
    reject_tags(prompt, negative)
    findings = _findings_cells(row)
    known = {name: None if is_missing_value(str(row.get(name))) else row.get(name) for name in ("view", "sex", "age")}
    prompt_row = PromptRow(
        prompt=prompt,
        finding="+".join(findings),
        negative_prompt=negative,
        count=_integer_cell(row, "count", 1, MAX_COUNT, default=1),
        seed=_integer_cell(row, "seed", 0, MAX_SEED, default=None),
        view=" ".join(text_cell(known, "view").split()) or None,
        sex=_sex_cell(known),
        age=_integer_cell(known, "age", 0, MAX_AGE, default=None),
    )
    if prompt_row.seed is not None and prompt_row.seed + prompt_row.count - 1 > MAX_SEED:
        raise BadInput(
            f"seed {prompt_row.seed} with a count of {prompt_row.count:,} goes beyond {MAX_SEED:,}; give a lower seed"
        )
    counts.prompts += 1
    counts.marks += marks + negative_marks
    counts.marked_prompts += bool(marks + negative_marks)
    counts.weighted_prompts += has_word_weights(prompt) or has_word_weights(negative)
    for finding in findings:
        _count_spelling(finding, counts)
    return prompt_row


def _findings_cells(row: Row) -> list[str]:
    """The findings of `finding`, joined by "+", or of `findings`, a list or joined likewise: sorted, each once."""
    listed = row.get("findings")
    names = listed if isinstance(listed, list) else text_cell(row, "findings").split("+")
    if own := text_cell(row, "finding").strip():
        if any(names):
            raise BadInput("has both a finding and findings; fill one of the two")
        names = own.split("+")
    return join_findings([text_cell({"findings": name}, "findings").strip() for name in names]).split("+")


def join_findings(names: Sequence[str]) -> str:
    """Their names joined by "+" in the order of the alphabet, as `PromptRow.finding` has them.

    Raises:
        BadInput: a name cannot be a folder's, is there twice, or says that there is none beside others.
    """
    safe = sorted(map(safe_finding, names)) or [UNLABELLED]
    if len(set(safe)) < len(safe):
        raise BadInput(f"finding {'+'.join(safe)[:60]!r} names one twice; name each once")
    if len(safe) > 1 and (none := {UNLABELLED, NO_FINDING} & {*safe}):
        raise BadInput(f"finding {'+'.join(safe)[:60]!r} has {none.pop()} beside others; leave it out")
    return "+".join(safe)


def parse_asked_findings(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Reads a comma-separated list of findings, some of them several joined by "+", in the order given.

    Args:
        known: what the model knows, as far as that is known: a name that is nearly one of these is misspelt.

    Raises:
        BadInput: a name cannot be a finding's, is misspelt or stands twice.
    """
    folded = {name.casefold(): name for name in known}
    asked = []
    for entry in text.split(","):
        names = [name.strip() for name in entry.split("+")]
        for name in names:
            close = difflib.get_close_matches(name.casefold(), folded, cutoff=0.8)
            if not name or (close and name not in folded.values()):
                raise BadInput(f"--findings: no finding is called {name[:60]!r}; {nearest(name, folded.values())}")
        try:
            asked.append(join_findings(names))
        except BadInput as error:
            raise BadInput(f"--findings: {error}") from None
    if len(set(asked)) < len(asked):
        raise BadInput(f"--findings: {text!r} names a finding twice; name each once")
    return tuple(asked)


def _sex_cell(row: Row) -> str | None:
    word = text_cell(row, "sex").strip()
    if word and word.casefold() not in SEXES:
        raise BadInput(f"sex is {word[:40]!a}; write F or M, or leave it empty")
    return SEXES.get(word.casefold())


_TAG = re.compile(r"<\s*(lora|lyco|hypernet|embedding)\s*:[^<>]*>", re.IGNORECASE)
_WEIGHT = re.compile(
    r"\([^():]*[^\d\s():]\s*:\s*\d*\.?\d+\s*\)"  # (word:1.3), and not (ratio 1:2) or (12:30)
    r"|\(\([^()]+\)\)|\[[^\[\]*]*\w[^\[\]*]*\]|\{[^{}]*\w[^{}]*\}"  # ((word)), [word], {word}
)
_KEYWORD = re.compile(r"(?<!\w)(BREAK|AND|ADDCOMM|ADDROW)(?!\w)")


def reject_tags(*prompts: str) -> None:
    """`BadInput` for `<lora:name:0.8>` and such: it asks for weights that would not be there."""
    for prompt in prompts:
        if found := _TAG.search(prompt):
            raise BadInput(
                f"the prompt holds {found[0][:80]!r}, the syntax of web UIs; take it out and give the file with --lora"
            )


def has_word_weights(prompt: str) -> bool:
    """Whether it weighs words as web UIs do: (word:1.3), [word], and BREAK, AND among small letters."""
    return bool(_WEIGHT.search(prompt) or (_KEYWORD.search(prompt) and re.search("[a-z]", prompt)))


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, lone surrogates


def text_cell(row: Row, column: str) -> str:
    """The cell's text, "" for an empty one; `BadInput` if it is no text, too long or holds control characters."""
    value = row.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"{column} is {type(value).__name__}, not text")
    if len(value) > MAX_PROMPT:
        raise BadInput(f"{column} is {len(value):,} characters long; at most {MAX_PROMPT:,} are allowed")
    if bad := _UNPRINTABLE.search(value):
        raise BadInput(f"{column} holds the control character U+{ord(bad[0]):04X} at position {bad.start()}; remove it")
    return value


def _clean_cell(row: Row, column: str) -> tuple[str, int]:
    return clean_prompt(text_cell(row, column))


def _integer_cell(row: Row, column: str, low: int, high: int, default: _Default) -> int | _Default:
    """A whole number; "3", "3.0" and 3.0 count as one, as tables with gaps store integers that way."""
    value = row.get(column)
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


def _count_spelling(finding: str, counts: _Counts) -> None:
    if len(counts.spellings) >= 10_000:  # bounds memory; that many are no classes any more
        return
    first = counts.spellings.setdefault(finding.casefold(), finding)
    if first != finding and len(counts.clashes) < 20:
        counts.clashes[(first, finding)] = None


def _notes(counts: _Counts, cursor: ReadCursor) -> Iterator[str]:
    if counts.marks:
        marks = f"{counts.marks:,} de-identification mark{'s'[: counts.marks != 1]} (XXXX, ___, [**...**])"
        prompts = f"{counts.marked_prompts:,} of {counts.prompts:,} prompts"
        yield f"removed {marks} from {prompts}, because generators memorise them"
    if counts.weighted_prompts:
        prompts = f"{counts.weighted_prompts:,} of {counts.prompts:,} prompts"
        yield f"{prompts} have the syntax of web UIs ((word:1.3), [word], BREAK, AND), which is read as words"
    if cursor.ignored:
        names = ", ".join(map(repr, cursor.ignored))
        yield f"ignored columns {names}; columns known: {', '.join(COLUMNS)}"
    for first, other in counts.clashes:
        yield f"findings {first!r} and {other!r} differ only in upper and lower case; they become two classes"
