"""The cells of a table that name findings: one a picture is read; several, doubts and bare numbers are counted."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cxr.data.sources.cells import MissingValues, read_cell
from cxr.data.sources.vocabulary import parse_finding
from cxr.errors import BadInput
from cxr.prompts.lists import UNLABELLED
from cxr.tables import Row

UNCERTAIN = {"u", "uncertain", "unsure", "unclear", "equivocal", "indeterminate", "possible", "doubtful", "-1"}
ONE_ONLY = "one finding a picture is read, several are not yet"
_SEVERAL = re.compile(r"[|;,]")
_NUMBER = re.compile(r"([+-]?\d+)(?:[.,]0*)?")


@dataclass
class FindingCounts:
    """Counts of what the cells of a table hold, for errors and notes at its end."""

    rows: int = 0
    labelled: Counter[str] = field(default_factory=Counter)
    several: Counter[str] = field(default_factory=Counter)
    first_several: str = ""  # where
    uncertain: Counter[str] = field(default_factory=Counter)

    def read(self, row: Row, gaps: MissingValues, where: str) -> str:
        """The finding that the row names; `UNLABELLED` where it names none for certain.

        Raises:
            BadInput: it cannot be a folder name.
        """
        self.rows += 1
        names = _finding_names(row, gaps)
        if len(names) > 1:
            self.first_several = self.first_several or where
            self.several["|".join(names)] += 1
            return UNLABELLED
        (name,) = names or [""]
        number = _NUMBER.fullmatch(name)
        name = str(int(number[1])) if number else name
        if name.casefold() in UNCERTAIN:
            self.uncertain[name] += 1
            return UNLABELLED
        finding = parse_finding(name)
        self.labelled[finding] += bool(name)
        return finding

    def check(self, note: Callable[[str], None]) -> None:
        """Raises `BadInput` where the column holds no findings, one a picture; else notes what is odd."""
        if self.several:
            commonest = ", ".join(f"{cell!a} ({n:,})" for cell, n in self.several.most_common(3))
            raise BadInput(
                f"{sum(self.several.values()):,} of {self.rows:,} rows name several findings in a cell: {commonest}; "
                f"the first is {self.first_several}; {ONE_ONLY}: leave these rows out, or name a column that holds "
                "one with --columns finding=<its name>"
            )
        uncertain, blank = sum(self.uncertain.values()), self.rows - sum(self.labelled.values())
        numbers = {name: n for name, n in self.labelled.items() if name.isdecimal()}
        if "-1" in self.uncertain:
            counts = ", ".join(f"{name} ({n:,})" for name, n in sorted((self.uncertain | Counter(numbers)).items()))
            raise BadInput(
                f"the finding's column holds marks of one finding, of which -1 means uncertain: {counts}, blank "
                f"({blank - uncertain:,}); {ONE_ONLY}, by its name: write a column with a name in each row that is "
                "certain, and give --columns finding=<its name>"
            )
        if self.uncertain:
            counts = ", ".join(f"{name!a} ({n:,})" for name, n in self.uncertain.items())
            note(f"{uncertain:,} of {self.rows:,} rows are uncertain of their finding and count as without: {counts}")
        if numbers:
            counts = ", ".join(f"{name} ({n:,})" for name, n in sorted(numbers.items())[:8])
            note(
                f"findings are numbers, which become the names of the classes: {counts}; to have words, name a column "
                "that holds them with --columns finding=<its name>"
            )


def _finding_names(row: Row, gaps: MissingValues) -> list[str]:
    """The findings that the cell names, none for a gap; of a list or a text that is one."""
    value = row.get("finding")
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value.replace("'", '"'))
        except ValueError:
            raise BadInput(f"finding {value[:60]!a} begins as a list and is none; write a name") from None
    if isinstance(value, list | tuple):
        names = [read_cell({"finding": one}, "finding", gaps) for one in value]
    else:
        names = [name.strip() for name in _SEVERAL.split(read_cell(row, "finding", gaps))]
    return list(dict.fromkeys(filter(None, names)))
