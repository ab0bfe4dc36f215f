"""What is known of a picture's findings: which are present, absent, uncertain or unknown. What an uncertain and an
unknown one count as is decided here and nowhere else.

Example: torchxrayvision's matrix of 1, 0 and unknown (Cohen et al. 2022, arXiv:2111.00595).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from cxr.prompts.lists import NO_FINDING, UNLABELLED
from cxr.prompts.words import Content

MAX_FOLDER = 120  # characters of a folder's name, so that it fits into every file system with room to spare
LISTS = ("present", "absent", "uncertain")  # the catalog's columns

Policy = Literal["ignore", "absent", "present"]
VALUES: dict[Policy, float] = {"ignore": np.nan, "absent": 0.0, "present": 1.0}


class LabelPolicy(BaseModel):
    """What labels that nobody is sure of count as."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uncertain: Policy = "ignore"
    """A finding that the set calls uncertain: left out of what concerns this finding, or taken as absent or present."""
    unknown: Policy = "ignore"
    """A finding of which the set says nothing, likewise."""


@dataclass(frozen=True)
class Vocabulary:
    """The findings that the labels of a set speak of."""

    findings: tuple[str, ...]  # sorted, each once
    exclusive: bool  # every picture shows exactly one of them

    @classmethod
    def of(cls, labels: Iterable["Labels"], exclusive: bool) -> Self:
        """Of all that labels mention."""
        return cls(tuple(sorted({name for one in labels for name in one.findings})), exclusive)


@dataclass(frozen=True)
class Labels:
    """Of one picture; a finding in none of the three is unknown."""

    present: tuple[str, ...] = ()
    absent: tuple[str, ...] | None = ()  # None: all others of its set, as in a set whose findings exclude each other
    uncertain: tuple[str, ...] = ()

    @classmethod
    def only(cls, finding: str) -> Self:
        """The one finding and no other; nothing at all is known of an unlabelled picture."""
        return cls() if finding == UNLABELLED else cls((finding,), None)

    @property
    def known(self) -> bool:
        """Whether they say anything."""
        return bool(self.present or self.uncertain) or self.absent != ()

    @property
    def findings(self) -> tuple[str, ...]:
        """All that they mention."""
        return *self.present, *(self.absent or ()), *self.uncertain

    def state(self, finding: str) -> str | None:
        """The list that it is in; None where nothing is known of it."""
        named = next((name for name in LISTS if finding in (getattr(self, name) or ())), None)
        return named or ("absent" if self.absent is None else None)

    def complete(self, findings: Sequence[str]) -> "Labels":
        """The same with the absent findings named."""
        if self.absent is not None:
            return self
        others = tuple(name for name in findings if name not in self.present and name not in self.uncertain)
        return Labels(self.present, others, self.uncertain)

    def as_columns(self, findings: Sequence[str]) -> dict[str, list[str]]:
        """The catalog's lists, in a set of these findings."""
        whole = self.complete(findings)
        return {name: list(getattr(whole, name)) for name in LISTS}

    def folder(self, findings: Sequence[str]) -> str:
        """Where the picture lies in a set of these findings: under its own, `NO_FINDING` if all are known to be absent,
        else `UNLABELLED`. A long name ends in how many more there are; what counts is the catalog."""
        if not self.present:
            return (
                NO_FINDING if self.known and set(findings) <= {*(self.complete(findings).absent or ())} else UNLABELLED
            )
        names, rest = list(self.present), 0
        while len(folder := "+".join([*names, *([f"{rest}_more"] if rest else [])])) > MAX_FOLDER:
            names.pop()
            rest += 1
        return folder


def shown_findings(row: Mapping[str, Any]) -> list[str]:
    """Of a row of a catalog those that are present; where none is, what the folder's name says of that."""
    return row["present"] or [row["finding"]]


def content_of(row: Mapping[str, Any], findings: Sequence[str]) -> Content:
    """What a row of a catalog or of a plan says of its picture, for words.

    Args:
        findings: of its set.
    """
    present, absent, uncertain = (tuple(row[name]) for name in LISTS)
    others = {*findings} - {*present, *uncertain}
    return Content(
        present, None if absent and others <= {*absent} else absent, uncertain, row["view"], row["sex"], row["age"]
    )


def merge_findings(labels: Labels, groups: Mapping[str, Sequence[str]]) -> Labels:
    """What is known of groups of findings: a group is present if any of its findings is, absent if all are, uncertain
    if none is present and any is uncertain, else unknown. Findings in no group are left out.

    Args:
        groups: by name.
    """
    merged = {name: _merge_states({labels.state(one) for one in members}) for name, members in groups.items()}
    lists = {name: tuple(group for group, state in merged.items() if state == name) for name in LISTS}
    absent = None if labels.absent is None else lists["absent"]
    return Labels(lists["present"], absent, lists["uncertain"])


def merge_readings(readings: Sequence[Labels]) -> Labels:
    """What several readers or rows say of one picture: of each finding by the rule of `merge_findings`."""
    findings = sorted({name for one in readings for name in one.findings})
    merged = {name: _merge_states({one.state(name) for one in readings}) for name in findings}
    present, absent, uncertain = (tuple(name for name in findings if merged[name] == state) for state in LISTS)
    return Labels(present, None if all(one.absent is None for one in readings) else absent, uncertain)


def _merge_states(states: set[str | None]) -> str | None:
    certain = next((state for state in ("present", "uncertain") if state in states), None)
    return certain or ("absent" if states == {"absent"} else None)


def exclusive_columns(finding: pa.ChunkedArray) -> dict[str, pa.Array]:
    """The lists of a column of findings that exclude each other, as sets of version 0.1 have."""
    encoded = finding.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    findings = Vocabulary.of(map(Labels.only, names), exclusive=True).findings
    lists = [Labels.only(name).as_columns(findings) for name in names]
    kind = pa.list_(pa.string())
    return {name: pa.array([one[name] for one in lists], kind).take(encoded.indices) for name in LISTS}


def label_matrix(table: pa.Table, findings: Sequence[str], policy: LabelPolicy) -> np.ndarray:
    """What each picture counts as for each finding, float32 [N, F]: 1 present, 0 absent, not a number: left out.

    Args:
        table: with the columns `LISTS`.
    """
    whole = np.full((len(table), len(findings)), VALUES[policy.unknown], np.float32)
    for name, value in (("absent", 0.0), ("uncertain", VALUES[policy.uncertain]), ("present", 1.0)):
        lists = table[name].combine_chunks()
        column = pc.index_in(pc.list_flatten(lists), value_set=pa.array(findings, pa.string()))
        known = column.is_valid().to_numpy(zero_copy_only=False)
        rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        whole[rows[known], column.drop_null().to_numpy(zero_copy_only=False)] = value
    return whole
