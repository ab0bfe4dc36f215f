"""What came through the loader, put together: each picture once, none whose labels contradict each other.

Columns and not rows; thumbnails, and rows that are dropped, stay in files.
"""

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr.artifact import unit_key
from cxr.artifact.keys import COMMITS, IMAGES, METADATA_KEY
from cxr.data.boxes import Box
from cxr.data.labels import LISTS, LabelPolicy, Labels, Vocabulary, label_matrix
from cxr.errors import BadInput
from cxr.ingest.job import DESCRIBED, REJECTED_KEY, TOLD_REASONS, IngestJob
from cxr.ingest.units import RefusedImage, ThumbnailFile, list_refusals, read_units
from cxr.store import json_lines
from cxr.tables import batched

THUMBNAILS = "thumbnails"  # of the job's folder: those of all stored pictures, in the source's order
PICTURES_AT_ONCE = 1 << 10  # whose thumbnails are in memory, 5 kB each
ROWS_AT_ONCE = 1 << 14  # whose labels are Python's for a moment
LISTED_AT_ONCE = 1 << 14  # keys of stored objects
STORED = pa.schema(
    [
        ("row", pa.int64()),
        ("image_id", pa.string()),
        ("key", pa.string()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class CollectedImages:
    """All images that the loader accepted, by image_id, each picture once."""

    job: IngestJob
    kept: pa.Table  # of schema STORED, and `place`: where in the file of thumbnails
    rows: pa.Table  # of the plan, without names and marks
    repeated: list[tuple[int, int]]  # rows of the plan: one, and one of the same pixels, dropped
    contradicting: list[list[int]]  # rows of the plan: the same pixels under contradicting labels, all dropped
    folders: dict[int, str]  # of these rows
    orphans: list[str]  # keys of stored pictures that the catalog will not list
    refused: list[RefusedImage]
    boxes: list[tuple[int, Box]]  # row of the plan, and a box in its stored picture

    @property
    def vocabulary(self) -> Vocabulary:
        return self.job.vocabulary

    @property
    def thumbnails(self) -> ThumbnailFile:
        return ThumbnailFile(self.job.folder / THUMBNAILS, self.kept["place"].to_numpy())

    @cached_property
    def labels(self) -> np.ndarray:
        """As `label_matrix` of all findings: 1 present, 0 absent, not a number: uncertain or unknown."""
        parts = [label_matrix(part, self.vocabulary.findings, LabelPolicy()) for part in self.labelled_parts()]
        return np.concatenate(parts)

    @cached_property
    def uncertain(self) -> np.ndarray:
        """Which findings of which pictures are, bool [N, F]."""
        rows, findings = self.rows, self.vocabulary.findings
        return (label_matrix(rows, findings, LabelPolicy(uncertain="present")) == 1) & (self.labels != 1)

    def labelled_parts(self) -> Iterator[pa.Table]:
        """`rows` piece by piece, with all absent findings named and `finding`, the folder."""
        for start in range(0, len(self.rows), ROWS_AT_ONCE):
            yield name_absent(self.rows.slice(start, ROWS_AT_ONCE), self.vocabulary.findings)


def collect_images(job: IngestJob) -> CollectedImages:
    """Puts the units together; of pictures with the same pixels the first stays, and none where findings differ."""
    stored, refused, boxes = read_stored(job)
    by_id = [("image_id", "ascending"), ("row", "ascending")]  # splits follow no source's order
    order = pc.sort_indices(stored, by_id).to_numpy()
    same = pc.run_end_encode(stored["image_id"].take(pa.array(order)).combine_chunks())
    ends = same.run_ends.to_numpy()
    starts = np.append(0, ends)[:-1]
    rows, keep = stored["row"].to_numpy()[order], np.zeros(len(stored), bool)
    keep[starts] = True
    repeated, contradicting = [], []
    labels, findings = read_plan(job, LISTS), job.vocabulary.findings
    for run in np.flatnonzero(ends - starts > 1).tolist():
        alike = rows[starts[run] : ends[run]].tolist()
        if contradict([read_labels(labels, row).complete(findings) for row in alike]):
            contradicting.append(alike)
            keep[starts[run]] = False
        else:
            repeated += [(alike[0], row) for row in alike[1:]]
    chosen = pa.array(order[keep])
    kept = pa.table({name: stored[name].take(chosen) for name in stored.column_names})
    del stored  # a fifth of all memory that grows with the pictures
    orphans = list_orphans(job, kept["key"].combine_chunks())
    contradicting.sort()
    repeated.sort(key=lambda pair: pair[::-1])
    described = pa.table({name: read_plan(job, [name])[name].take(kept["row"]) for name in DESCRIBED})
    pa.default_memory_pool().release_unused()
    folders = {row: read_labels(labels, row).folder(findings) for alike in contradicting for row in alike}
    return CollectedImages(job, kept, described, repeated, contradicting, folders, orphans, refused, boxes)


def read_plan(job: IngestJob, columns: Sequence[str]) -> pa.Table:
    """Of all rows: read where it is needed, for it may be larger than all else."""
    return pq.read_table(job.plan, columns=list(columns))


def read_stored(job: IngestJob) -> tuple[pa.Table, list[RefusedImage], list[tuple[int, Box]]]:
    """What the units have stored and refused, and boxes, in the source's order; their thumbnails go into a file."""
    batches, refused, boxes = [], [], []
    with (job.folder / THUMBNAILS).open("wb") as file:
        for units in batched(
            read_units(job.store, range(job.units)), max(1, PICTURES_AT_ONCE // job.config.unit_images)
        ):
            kept = [one for unit in units for one in unit.kept]
            refused += [one for unit in units for one in unit.refused]
            boxes += [(one.row, box) for one in kept for box in one.boxes]
            batches.append(pa.table({name: [getattr(one, name) for one in kept] for name in STORED.names}, STORED))
            file.writelines(base64.b64decode(one.thumbnail) for one in kept)
    stored = pa.concat_tables(batches)
    return stored.append_column("place", pa.array(np.arange(len(stored)))), refused, boxes


def read_labels(plan: pa.Table, row: int) -> Labels:
    present, absent, uncertain = (plan[name][row].as_py() for name in LISTS)
    return Labels(tuple(present), None if absent is None else tuple(absent), tuple(uncertain))


def contradict(labels: list[Labels]) -> bool:
    """Whether a finding is present by one and absent by another, whose absent findings are named."""
    present = {name for one in labels for name in one.present}
    return any(name in present for one in labels for name in one.absent or ())


def list_orphans(job: IngestJob, kept: pa.Array) -> list[str]:
    """Keys of stored pictures that are none of `kept`."""
    orphans: list[str] = []
    for listed in batched(job.store.list(IMAGES), LISTED_AT_ONCE):
        keys = pa.array([found.key for found in listed if found.key != METADATA_KEY], pa.string())
        orphans += keys.filter(pc.invert(pc.is_in(keys, value_set=kept))).to_pylist()
    return sorted(orphans)


def name_absent(rows: pa.Table, findings: tuple[str, ...]) -> pa.Table:
    """The rows with all absent findings named and `finding`, the folder's name."""
    lists = zip(*(rows[name].to_pylist() for name in LISTS), strict=True)
    labels = [Labels(tuple(p), None if a is None else tuple(a), tuple(u)) for p, a, u in lists]
    absent = pa.array([one.complete(findings).absent for one in labels], rows.schema.field("absent").type)
    rows = rows.set_column(rows.schema.get_field_index("absent"), rows.schema.field("absent"), absent)
    return rows.append_column("finding", pa.array([one.folder(findings) for one in labels], pa.string()))


def refuse_contradictions(job: IngestJob, read: CollectedImages) -> list[str]:
    """A line on pictures whose labels contradict each other; `BadInput` if they and the refused are too many."""
    if not read.contradicting:
        return []
    count = sum(map(len, read.contradicting))
    pairs = Counter(" and ".join(sorted({read.folders[row] for row in rows})) for rows in read.contradicting)
    commonest = "; ".join(f"{number:,} x {names}" for names, number in pairs.most_common(TOLD_REASONS))
    problem = f"{len(read.contradicting):,} pictures are there under several findings, pixel for pixel ({commonest})"
    if count + len(read.refused) > job.config.max_rejected * job.images:
        job.store.put(REJECTED_KEY, encode_rejections(read))
        raise BadInput(
            f"--source: {problem}: {count:,} files of {job.images:,}, whose labels contradict each other; "
            f"{job.store.uri}/{REJECTED_KEY} names them; keep each picture once, with all its findings, or have all of "
            "them left out with --max-rejected 1"
        )
    return [f"{problem}: nobody can tell which is right, so all {count:,} are left out; {REJECTED_KEY} names them"]


def refuse_lost_findings(job: IngestJob, read: CollectedImages) -> list[str]:
    """A line on findings that have no picture left; `BadInput` where they exclude each other, or if no picture is left.
    What was refused will be read again, as it may have been mended."""
    both = read_plan(job, ["present"]), read.rows
    planned, kept = (set(pc.list_flatten(rows["present"]).unique().to_pylist()) for rows in both)
    lost = ", ".join(map(repr, sorted(planned - kept)))
    if lost and (read.vocabulary.exclusive or not len(read.kept)):
        job.store.put(REJECTED_KEY, encode_rejections(read))
        job.store.delete({unit_key(COMMITS, refused.row // job.config.unit_images) for refused in read.refused})
        raise BadInput(
            f"--source: no picture of {lost} can be used; {job.store.uri}/{REJECTED_KEY} says "
            "why; mend them and run the same command again, or leave the finding out and give another --out"
        )
    return [f"no picture of {lost} can be used; {REJECTED_KEY} says why"] if lost else []


def encode_rejections(read: CollectedImages) -> bytes:
    """One JSON line for each picture that is not in the catalog, in the source's order, with its reason."""
    names = read_plan(read.job, ["name"])["name"]
    repeated = [{"name": names[row].as_py(), "reason": "same pixels as another picture"} for _, row in read.repeated]
    contradicting = [
        {
            "name": names[row].as_py(),
            "reason": f"same pixels as a picture of another finding (this one: {read.folders[row]})",
        }
        for rows in read.contradicting
        for row in rows
    ]
    return json_lines(list_refusals(read.refused) + repeated + contradicting)


def describe_near_contradictions(read: CollectedImages, near: np.ndarray) -> list[str]:
    """A line on groups of near-duplicates of which one shows what another has not.

    Args:
        near: int [N], `group_near_duplicates` of the kept pictures.
    """
    present, absent = (np.zeros((near.max() + 1, read.labels.shape[1]), bool) for _ in range(2))
    np.logical_or.at(present, near, read.labels == 1)
    np.logical_or.at(absent, near, read.labels == 0)
    count = int((present & absent).any(axis=1).sum())
    return [f"{count:,} groups of near-duplicates are there under several findings; they are kept"] if count else []
