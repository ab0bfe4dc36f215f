"""Sets of other hospitals: what must hold before a study may test on them, and their labels in the study's words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from cxr.data.catalog import CATALOG, CatalogSet
from cxr.data.labels import LISTS, NO_FINDING, Labels, merge_findings
from cxr.data.lineage import read_lineage
from cxr.data.lineage_lists import PatientLists, find_shown
from cxr.data.sources.chosen_findings import Groups
from cxr.errors import BadInput, nearest


@dataclass(frozen=True)
class ExternalSet:
    """A set of another hospital, with the labels that the study has for its pictures."""

    data: CatalogSet  # those of its pictures that the study's labels say something of
    findings: dict[str, list[str]]  # of the study, and those of the set that each stands for
    left_out: int  # pictures


def match_external(
    name: str, found: CatalogSet, groups: Groups | None, real: CatalogSet, classes: Sequence[str], several: bool
) -> ExternalSet:
    """The set in the words of the study. Reads no picture.

    A picture is left out if it shows none of the study's classes, or several where a picture of the study shows one.

    Args:
        groups: a class, and the set's findings that it stands for, as `parse_findings` reads them; None: those of the
            same name. Upper and lower case do not matter.
        several: pictures of the study can show several findings, which are then its classes.

    Raises:
        BadInput: a name is no class or none of the set's, a class has no picture, or a patient or picture is in the
            real set too.
    """
    where = f"--external {name}={found.store.uri}"
    chosen = choose_groups(name, found, groups, classes)
    rows = [row for one in found.table.to_pylist() if (row := relabel(one, chosen, classes, several))]
    if not several:
        shown = {row["finding"] for row in rows}
        if missing := [one for one in classes if one not in shown]:
            raise BadInput(
                f"{where}: shows no {missing[0]}; its findings are {', '.join(own_findings(found))}: say which of them "
                f"it is with --external-findings {name}:{missing[0]}=THEIRS"
            )
    check_nobody_twice(where, real, found)
    table = pa.Table.from_pylist(rows, schema=CATALOG)
    return ExternalSet(replace(found, table=table), chosen, len(found.table) - len(rows))


def own_findings(found: CatalogSet) -> list[str]:
    """Its vocabulary, and what pictures without any are called."""
    bare = {NO_FINDING} & set(found.table["finding"].to_pylist())
    return sorted({*found.vocabulary.findings, *bare})


def choose_groups(name: str, found: CatalogSet, groups: Groups | None, classes: Sequence[str]) -> dict[str, list[str]]:
    """Of each class the set's findings that it stands for, as the set writes them."""
    known = {one.casefold(): one for one in own_findings(found)}
    if groups is None:
        return {one: [known[one.casefold()]] for one in classes if one.casefold() in known}
    for ours, theirs in groups.items():
        if ours not in classes:
            raise BadInput(f"--external-findings {name}: {ours} is no finding of this study; {nearest(ours, classes)}")
        for one in theirs:
            if one.casefold() not in known:
                raise BadInput(
                    f"--external-findings {name}: the set has no finding {one[:60]!r}; {nearest(one, known.values())}"
                )
    return {ours: [known[one.casefold()] for one in theirs] for ours, theirs in groups.items()}


def relabel(
    row: Mapping[str, Any], groups: Mapping[str, Sequence[str]], classes: Sequence[str], several: bool
) -> dict[str, Any] | None:
    """The row with the study's labels; None where they say nothing of it."""
    lists = [tuple(row[kind]) for kind in LISTS]
    if row["finding"] == NO_FINDING and NO_FINDING not in lists[0]:
        lists[0] = (*lists[0], NO_FINDING)
    merged = merge_findings(Labels(*lists), groups)
    if several:
        return {**row, **merged.as_columns(classes), "finding": merged.folder(classes)} if merged.known else None
    shown = merged.present
    if not shown and NO_FINDING in classes and {*(merged.absent or ())} == {*classes} - {NO_FINDING}:
        shown = (NO_FINDING,)
    return {**row, **Labels.only(shown[0]).as_columns(classes), "finding": shown[0]} if len(shown) == 1 else None


def check_nobody_twice(where: str, real: CatalogSet, found: CatalogSet) -> None:
    """`BadInput` if a patient or a picture is in both sets: a test elsewhere is of others."""
    for column, noun in (("patient_id", "patients"), ("sha256", "pictures"), ("image_id", "pictures")):
        both = set(real.table[column].drop_null().to_pylist()) & set(found.table[column].drop_null().to_pylist())
        if both:
            raise BadInput(
                f"{where}: {len(both)} of its {noun} are in --real too ({column} {min(both)[:40]}); give a set of "
                "others, or ingest it with ids of its own"
            )


def check_generators(
    real: CatalogSet, external: Mapping[str, ExternalSet], sides: Mapping[str, CatalogSet], lists: PatientLists
) -> list[str]:
    """Whose generator cannot be said to have seen no patient of an external set, in words.

    Raises:
        BadInput: one was trained on, or chosen by, such a patient.
    """
    doubts = []
    for name, side in sides.items():
        lineage = read_lineage(side.record.metrics)
        for other, found in external.items():
            if lineage == ():
                continue
            shown = None if lineage is None else find_shown(lineage, both_tables(real, found.data), lists)
            if shown is None:
                doubts.append(f"that the generator of the set '{name}' saw no patient of {other} cannot be checked")
            elif count := len({*seen_patients(found.data, shown[len(real.table) :])}):
                raise BadInput(
                    f"--external {other}={found.data.store.uri}: {count} of its patients were shown to the generator "
                    f"of {side.store.uri}; give a set of others"
                )
    return doubts


def both_tables(real: CatalogSet, external: CatalogSet) -> pa.Table:
    """Rows of both, of which only the real set's are in a part."""
    column = CATALOG.get_field_index("split")
    table = external.table.set_column(column, "split", pa.nulls(len(external.table), pa.string()))
    return pa.concat_tables([real.table, table])


def seen_patients(found: CatalogSet, shown: np.ndarray) -> Iterator[str]:
    rows = zip(found.table["patient_id"].to_pylist(), found.table["image_id"].to_pylist(), shown, strict=True)
    return (patient or image for patient, image, seen in rows if seen)
