"""What `jobs/ingest.py` is made of, without Ray: the source's rows as a plan, and what its workers run."""

import base64
import hashlib
import json
import pickle
import socket
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr.artifact import Artifact, Record, recipe_digest, unit_key
from cxr.artifact.keys import COMMITS, PLAN_KEY
from cxr.artifact.kinds import INGESTED_IMAGES
from cxr.data.catalog import CATALOG, image_key
from cxr.data.images import (
    MissingImage,
    RejectedImage,
    encode_png,
    fit_square,
    make_thumbnail,
    pixels_to_image_id,
    read_gray,
)
from cxr.data.labels import LISTS, Vocabulary
from cxr.data.sources import SourceRow
from cxr.errors import BadInput
from cxr.ingest.checks import (
    MASK,
    LabelledRows,
    check_splits,
    describe_odd_names,
    describe_odd_patients,
    is_mask,
    refuse_repeated_names,
    require_one_finding,
)
from cxr.ingest.config import IngestConfig, identity
from cxr.ingest.units import RefusedImage, StoredImage, UnitOutcome, list_refusals, read_refused
from cxr.store import Store, json_lines
from cxr.tables import batched

REJECTED_KEY = "rejected.jsonl"
UNITS = "units.pickle"  # of the job's folder
TOLD_REASONS, TOLD_FINDINGS = 3, 5
PLANNED_AT_ONCE = 1 << 13  # rows

DESCRIBED = (*LISTS, "text", "patient_id", "view", "sex", "age", "split", "source", "licence")
ROWS = pa.schema([("name", pa.string()), *map(CATALOG.field, DESCRIBED), ("mark", pa.string())])
IDENTIFIED = [name for name in ROWS.names if name not in (*LISTS, "mark")]
TO_JSON = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True)
class IngestJob(Artifact):
    """All that is fixed before the first picture is read."""

    kind = INGESTED_IMAGES
    scratch = (COMMITS,)

    config: IngestConfig
    vocabulary: Vocabulary
    folder: Path  # on this machine: the plan, and the units' pickled rows one after another
    starts: Sequence[int]  # where in their file each unit's rows begin, and the last ones end
    images: int
    marks: str  # digest of all rows' marks

    @property
    def plan(self) -> Path:
        return self.folder / PLAN_KEY

    @property
    def units(self) -> int:
        return -(-self.images // self.config.unit_images)

    @property
    def content_digest(self) -> str:
        return content_digest(self.recipe, self.marks)

    def read_rows(self, unit: int) -> bytes:
        """Pickled, as `IngestWorker` takes them."""
        start, end = self.starts[unit : unit + 2]
        with (self.folder / UNITS).open("rb") as file:
            file.seek(start)
            return file.read(end - start)


def prepare(
    store: Store,
    config: IngestConfig,
    rows: Iterable[SourceRow],
    folder: Path,
    note: Callable[[str], None] = lambda line: None,
) -> IngestJob:
    """Lists the source into `folder`; nothing goes to the store yet. Pictures without a finding are left out.

    Raises:
        BadInput: the source or the place cannot be used.
    """
    whole, marks, images = hashlib.sha256(), hashlib.sha256(), 0
    findings: set[str] = set()
    exclusive = True
    rows, size, starts = LabelledRows(rows), config.unit_images, array("q", [0])
    with pq.ParquetWriter(folder / PLAN_KEY, ROWS, compression="zstd") as plan, (folder / UNITS).open("wb") as units:
        for group in batched(rows, size * max(1, PLANNED_AT_ONCE // size)):
            for row in group:
                require_one_finding(row)
                marks.update(f"{row.mark}\n".encode())
                whole.update(TO_JSON.encode(identify_row(row)).encode())
                findings.update(row.labels.findings)
                exclusive = exclusive and row.exclusive
            plan.write_table(tabulate_rows(group))
            for start in range(0, len(group), size):
                units.write(pickle.dumps(group[start : start + size]))
                starts.append(units.tell())
            images += len(group)
    if (len(findings) < 2 and exclusive) or not findings:
        problem = f"holds one class only, {next(iter(findings))!r}" if findings else "holds no pictures"
        problem += f" ({rows.left_out:,} more have no label and are left out)" if rows.left_out else ""
        raise BadInput(f"--source: {problem}; a classifier needs pictures of two findings at least")
    plan = pq.read_table(folder / PLAN_KEY, columns=["name", "present", "patient_id", "split"])
    if not len(pc.list_flatten(plan["present"])):
        raise BadInput(
            f"--source: none of its {images:,} pictures shows {' or '.join(sorted(findings)[:TOLD_FINDINGS])}; a "
            "classifier needs some that do: give other --findings"
        )
    refuse_repeated_names(plan["name"])
    check_splits(config, plan, exclusive)
    for line in (*rows.lines(images), *describe_odd_names(findings), *describe_odd_patients(plan["patient_id"])):
        note(line)
    recipe = identity(config, whole.hexdigest())
    vocabulary = Vocabulary(tuple(sorted(findings)), exclusive)
    job = IngestJob(store, recipe, config, vocabulary, folder, starts, images, marks.hexdigest())
    job.refuse_other()
    return job


def tabulate_rows(rows: Sequence[SourceRow]) -> pa.Table:
    """As the plan has them."""
    places = {name: f"labels.{name}" if name in LISTS else name for name in ROWS.names}
    return pa.table({name: list(map(attrgetter(place), rows)) for name, place in places.items()}, ROWS)


def identify_row(row: SourceRow) -> dict[str, Any]:
    """What the recipe's digest is over; where findings exclude each other as in version 0.1."""
    labels = {"finding": row.finding} if row.exclusive else {name: getattr(row.labels, name) for name in LISTS}
    boxes = {"boxes": [asdict(box) for box in row.boxes]} if row.boxes else {}
    return labels | boxes | {name: getattr(row, name) for name in IDENTIFIED}


def content_digest(recipe: dict[str, Any], marks: str) -> str:
    """A digest that is another one where the source has other content under the same names, as the recipe's is not."""
    return recipe_digest({**recipe, "marks": marks})


def read_finished_set(job: IngestJob) -> Record | None:
    """The record of the set, if it is there.

    Raises:
        BadInput: what it was made from has changed since.
    """
    record = job.take_finished()
    if record and (others := find_changed_rows(job)):
        raise BadInput(
            f"{job.store.uri}: the source has changed since this set was made ({len(others)} of {job.images} "
            "pictures); give another --out"
        )
    return record


def find_changed_rows(job: IngestJob) -> list[int]:
    """The rows of the plan that have other marks than the stored one; an older version's plan has none."""
    stored = pq.ParquetFile(pa.BufferReader(job.store.get(PLAN_KEY)))
    if "mark" not in stored.schema_arrow.names:
        return []
    before, now = stored.read(["mark"])["mark"], pq.read_table(job.plan, columns=["mark"])["mark"]
    return pc.indices_nonzero(pc.not_equal(before, now)).to_pylist()


def begin(job: IngestJob) -> tuple[list[int], "RefusalWatch"]:
    """Stores the plan, if it is not there; returns the units to read, and the watch over what is refused.

    Those are to be read that are not stored yet, or whose pictures have changed since. Where a run has ended at too
    many refused pictures, so are the units that hold some: these may have been mended.
    """
    plan = pq.read_table(job.plan)
    job.begin(plan)
    if others := find_changed_rows(job):
        job.store.delete(unit_key(COMMITS, unit) for unit in {row // job.config.unit_images for row in others})
        job.store.put(PLAN_KEY, job.mark_plan(plan))
    refused = read_refused(job.store)
    watch = RefusalWatch(job, refused.values())
    if watch.exhausted:
        refused = {unit: none for unit, none in refused.items() if not none}
        watch = RefusalWatch(job, [])
    return [unit for unit in range(job.units) if unit not in refused], watch


@dataclass(frozen=True)
class IngestWorker:
    """What reads and stores units; sent to a worker with places and settings."""

    store: Store
    config: IngestConfig
    findings: tuple[str, ...]  # of the whole set
    driver: str = field(default_factory=socket.gethostname)  # the machine that has listed the source

    def __call__(self, unit: int, pickled: bytes) -> dict[str, Any]:
        """Reads, stores and commits a unit; counts of what was kept and refused, and the reasons.

        Raises:
            BadInput: what was there on the driver's machine is not on this one.
        """
        cv2.setNumThreads(1)  # a worker has one CPU
        rows: list[SourceRow] = pickle.loads(pickled)
        first, done = unit * self.config.unit_images, UnitOutcome([], [])
        for number, row in enumerate(rows, first):
            try:
                done.kept.append(self.ingest_image(number, row))
            except RejectedImage as why:
                if isinstance(why, MissingImage) and row.mark and (here := socket.gethostname()) != self.driver:
                    raise BadInput(
                        f"--source: {row.name} is not on machine {here}: "
                        "the source must be on a disk that all machines share"
                    ) from None
                done.refused.append(RefusedImage(number, row.name, str(why)))
        self.store.put(unit_key(COMMITS, unit), json.dumps(asdict(done)).encode())
        reasons = Counter(refused.reason for refused in done.refused)
        return {"unit": unit, "images": len(rows), "refused": len(done.refused), "reasons": reasons}

    def ingest_image(self, number: int, row: SourceRow) -> StoredImage:
        """Raises `RejectedImage` for a picture that cannot be used."""
        whole = read_gray(row.load())
        if is_mask(whole):
            raise RejectedImage(MASK)
        pixels = fit_square(whole, self.config.size, self.config.aspect)
        name = pixels_to_image_id(pixels)
        stored = self.store.put(image_key(row.labels.folder(self.findings), name), encode_png(pixels))
        small = base64.b64encode(make_thumbnail(pixels).tobytes()).decode()
        boxes = tuple(box.fit(whole.shape, self.config.size, self.config.aspect) for box in row.boxes)
        return StoredImage(number, name, stored.key, stored.size, stored.sha256, small, boxes)


class RefusalWatch:
    """Watches how many pictures are refused, and ends the job once it is certain that they are too many."""

    def __init__(self, job: IngestJob, earlier: Iterable[list[RefusedImage]]) -> None:
        self.job, self.refused = job, 0
        self.reasons: Counter[str] = Counter()
        for refused in earlier:
            self.count(len(refused), Counter(one.reason for one in refused))

    def count(self, refused: int, reasons: Mapping[str, int]) -> None:
        self.refused += refused
        self.reasons.update(reasons)

    @property
    def exhausted(self) -> bool:
        """Whether the share of the whole source is more than the configuration allows."""
        return self.refused > self.job.config.max_rejected * self.job.images

    def add(self, done: dict[str, Any]) -> None:
        """Raises `BadInput` once they are too many."""
        self.count(done["refused"], done["reasons"])
        if self.exhausted:
            job, why = self.job, "; ".join(f"{n} x {reason}" for reason, n in self.reasons.most_common(TOLD_REASONS))
            refused = [image for images in read_refused(job.store).values() for image in images]
            job.store.put(REJECTED_KEY, json_lines(list_refusals(refused)))
            raise BadInput(
                f"--source: {self.refused} of {job.images} pictures cannot be used ({why}); "
                f"{job.store.uri}/{REJECTED_KEY} names those seen so far; mend them and run the same command again, or "
                f"allow more than {job.config.max_rejected:.0%} with --max-rejected"
            )
