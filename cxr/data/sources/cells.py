"""A table's cells as text: whole numbers without a decimal point, words for missing values as "", counted."""

from collections import Counter
from dataclasses import dataclass, field

from cxr.errors import BadInput
from cxr.prompts.lists import text_cell
from cxr.tables import Row, is_missing_value

MAX_CELL_LENGTH = 200  # characters of a cell that is no report


@dataclass
class MissingValues:
    """Which words for missing values were read as empty cells."""

    words: Counter[tuple[str, str]] = field(default_factory=Counter)  # (word, column)

    def line(self) -> str | None:
        words = ", ".join(f"{word!a} in {column} ({n:,})" for (word, column), n in self.words.most_common(8))
        return f"read as empty cells: {words}" if words else None


def read_cell(row: Row, column: str, gaps: MissingValues, longest: int = MAX_CELL_LENGTH) -> str:
    """The cell as text without white space around; "" for a gap.

    Raises:
        BadInput: no text, too long, or control characters in it.
    """
    value = row.get(column)
    if value is None or value != value:  # NaN is a gap too
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = abs(value) < 2**53 and value == int(value)
        value = str(int(value)) if whole else str(value)
    text = text_cell({column: value}, column).strip()
    if text.startswith('="') and text.endswith('"') and len(text) > 2:  # how spreadsheets keep leading zeros
        text = text[2:-1].strip()
    if text and is_missing_value(text):
        gaps.words[text, column] += 1
        return ""
    if len(text) > longest:
        raise BadInput(f"{column} is {len(text):,} characters long; at most {longest} are allowed")
    return text
