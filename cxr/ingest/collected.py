"""What came through the loader, put together: each picture once, none whose findings contradict each other."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cxr.artifact import unit_key
from cxr.artifact.keys import COMMITS, IMAGES
from cxr.data.labels import Labels
from cxr.errors import BadInput
from cxr.ingest.job import REJECTED_KEY, TOLD_REASONS, IngestJob
from cxr.ingest.units import RefusedImage, StoredImage, list_refusals, read_units
from cxr.store import json_lines


@dataclass(frozen=True)
class CollectedImages:
    """All images that the loader accepted, by image_id, each picture once."""

    kept: list[StoredImage]
    rows: list[dict[str, Any]]  # of the plan, one for each of `kept`, with `finding`: the folder of its labels
    repeated: list[tuple[dict[str, Any], dict[str, Any]]]  # of the plan: a row, and one of the same pixels, dropped
    contradicting: list[list[dict[str, Any]]]  # of the plan: rows of the same pixels and several findings, all dropped
    orphans: list[str]  # keys of stored pictures that the catalog will not list
    refused: list[RefusedImage]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def collect_images(job: IngestJob) -> CollectedImages:
    """Puts the units together; of pictures with the same pixels the first stays, and none where findings differ."""
    planned = read_plan(job)
    alike: dict[str, list[StoredImage]] = {}
    refused = []
    for unit in read_units(job.store, range(job.units)):
        refused += unit.refused
        for found in unit.kept:
            alike.setdefault(found.image_id, []).append(found)
    findings = {image_id: {planned[found.row]["finding"] for found in same} for image_id, same in alike.items()}
    contradicting = [[planned[one.row] for one in same] for name, same in alike.items() if len(findings[name]) > 1]
    agreeing = [same for name, same in alike.items() if len(findings[name]) == 1]
    repeated = sorted((found.row, same[0].row) for same in agreeing for found in same[1:])
    kept = sorted((same[0] for same in agreeing), key=lambda found: found.image_id)  # splits follow no source's order
    orphans = {found.key for found in job.store.list(IMAGES)} - {found.key for found in kept}
    return CollectedImages(
        kept,
        [planned[found.row] for found in kept],
        [(planned[first], planned[row]) for row, first in repeated],
        contradicting,
        sorted(orphans),
        refused,
    )


def read_plan(job: IngestJob) -> list[dict[str, Any]]:
    """The rows of the plan, with all lists of labels and `finding`, the folder's name."""
    findings, rows = job.vocabulary.findings, pq.read_table(job.plan).to_pylist()
    for row in rows:
        absent = None if row["absent"] is None else tuple(row["absent"])
        labels = Labels(tuple(row["present"]), absent, tuple(row["uncertain"]))
        row |= {"finding": labels.folder(findings), **labels.as_columns(findings)}
    return rows


def refuse_contradictions(job: IngestJob, read: CollectedImages) -> list[str]:
    """A line on pictures that are there under several findings; `BadInput` if they and the refused are too many."""
    if not read.contradicting:
        return []
    count = sum(map(len, read.contradicting))
    pairs = Counter(" and ".join(sorted({row["finding"] for row in rows})) for rows in read.contradicting)
    commonest = "; ".join(f"{number:,} x {names}" for names, number in pairs.most_common(TOLD_REASONS))
    problem = f"{len(read.contradicting):,} pictures are there under several findings, pixel for pixel ({commonest})"
    if count + len(read.refused) > job.config.max_rejected * job.images:
        job.store.put(REJECTED_KEY, encode_rejections(read))
        raise BadInput(
            f"--source: {problem}: {count:,} files of {job.images:,}, whose findings contradict each other; "
            f"{job.store.uri}/{REJECTED_KEY} names them; one finding a picture is read, several are not yet: keep each "
            "in one folder, or have all of them left out with --max-rejected 1"
        )
    return [f"{problem}: nobody can tell which is right, so all {count:,} are left out; {REJECTED_KEY} names them"]


def refuse_lost_findings(job: IngestJob, read: CollectedImages) -> None:
    """`BadInput` if a finding has no picture left; what was refused will be read again, as it may have been mended."""
    planned = {name for row in pq.read_table(job.plan, columns=["present"])["present"].to_pylist() for name in row}
    if lost := sorted(planned - {name for row in read.column("present") for name in row}):
        job.store.put(REJECTED_KEY, encode_rejections(read))
        job.store.delete({unit_key(COMMITS, refused.row // job.config.unit_images) for refused in read.refused})
        raise BadInput(
            f"--source: no picture of {', '.join(map(repr, lost))} can be used; {job.store.uri}/{REJECTED_KEY} says "
            "why; mend them and run the same command again, or leave the finding out and give another --out"
        )


def encode_rejections(read: CollectedImages) -> bytes:
    """One JSON line for each picture that is not in the catalog, in the source's order, with its reason."""
    repeated = [{"name": row["name"], "reason": "same pixels as another picture"} for _, row in read.repeated]
    contradicting = [
        {"name": row["name"], "reason": f"same pixels as a picture of another finding (this one: {row['finding']})"}
        for rows in read.contradicting
        for row in rows
    ]
    return json_lines(list_refusals(read.refused) + repeated + contradicting)


def describe_near_contradictions(read: CollectedImages, near: np.ndarray) -> list[str]:
    findings: dict[int, set[str]] = {}
    for group, finding in zip(near.tolist(), read.column("finding"), strict=True):
        findings.setdefault(group, set()).add(finding)
    count = sum(len(found) > 1 for found in findings.values())
    return [f"{count:,} groups of near-duplicates are there under several findings; they are kept"] if count else []
