"""The cells of a table that name findings, one or several; doubts and bare numbers are counted."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cxr.data.labels import Labels
from cxr.data.sources.cells import MissingValues, read_cell
from cxr.data.sources.vocabulary import parse_finding
from cxr.errors import BadInput
from cxr.tables import Row

UNCERTAIN = {"u", "uncertain", "unsure", "unclear", "equivocal", "indeterminate", "possible", "doubtful", "-1"}
NO_FINDING_WORDS = {"no finding", "no findings", "no_finding", "normal"}  # where a picture can have several
_SEVERAL = re.compile(r"[|;,]")
_NUMBER = re.compile(r"([+-]?\d+)(?:[.,]0*)?")


@dataclass
class FindingCounts:
    """Reads the cells, and counts what they hold, for errors and notes at the table's end."""

    separator: str = ""  # "" for any of | ; and ,
    rows: int = 0
    labelled: Counter[str] = field(default_factory=Counter)
    several: Counter[str] = field(default_factory=Counter)
    uncertain: Counter[str] = field(default_factory=Counter)

    def read(self, row: Row, gaps: MissingValues) -> Labels:
        """The findings that the row names; nothing where it names none for certain.

        Raises:
            BadInput: one cannot be a folder name, or there is one beside the words for none.
        """
        self.rows += 1
        names = _finding_names(row, gaps, self.separator)
        if len(names) > 1:
            return self._read_several(names)
        (name,) = names or [""]
        number = _NUMBER.fullmatch(name)
        name = str(int(number[1])) if number else name
        if name.casefold() in UNCERTAIN:
            self.uncertain[name] += 1
            return Labels()
        finding = parse_finding(name)
        self.labelled[finding] += bool(name)
        return Labels.only(finding)

    def _read_several(self, names: list[str]) -> Labels:
        self.several["|".join(names)] += 1
        if none := next((name for name in names if name.casefold() in NO_FINDING_WORDS), None):
            raise BadInput(f"finding {'|'.join(names)[:80]!a} names {none!a} beside others; keep the one or the others")
        findings = {parse_finding(name) for name in names}
        self.labelled.update(findings)
        return Labels(tuple(sorted(findings)), None)

    def check(self, note: Callable[[str], None]) -> None:
        """Raises `BadInput` where the column holds marks and no findings; else notes what is odd."""
        if self.several:
            commonest = ", ".join(f"{cell!a} ({n:,})" for cell, n in self.several.most_common(3))
            note(
                f"{sum(self.several.values()):,} of {self.rows:,} rows name several findings: {commonest}; each is one "
                "of the picture's, and those that are not named are absent; --separator says where else to part them"
            )
        uncertain, blank = sum(self.uncertain.values()), self.rows - sum(self.labelled.values())
        numbers = {name: n for name, n in self.labelled.items() if name.isdecimal()}
        if "-1" in self.uncertain:
            counts = ", ".join(f"{name} ({n:,})" for name, n in sorted((self.uncertain | Counter(numbers)).items()))
            raise BadInput(
                f"the finding's column holds marks of one finding, of which -1 means uncertain: {counts}, blank "
                f"({blank - uncertain:,}); give the names of such columns, one a finding, with --label-columns"
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


def without_words_for_none(labels: Labels) -> Labels:
    """The labels in a table whose pictures can have several findings: normal and No Finding are none of them."""
    named = tuple(name for name in labels.present if name.casefold() not in NO_FINDING_WORDS)
    return labels if named == labels.present else Labels(named, labels.absent, labels.uncertain)


def _finding_names(row: Row, gaps: MissingValues, separator: str) -> list[str]:
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
        cell = read_cell(row, "finding", gaps)
        names = [name.strip() for name in (cell.split(separator) if separator else _SEVERAL.split(cell))]
    return list(dict.fromkeys(filter(None, names)))
