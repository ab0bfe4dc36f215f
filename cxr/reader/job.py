"""A reader study in the making: the cases, a page for each reader, and the key that stays with the owner."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Artifact, Made, Record, read_record
from cxr.artifact.keys import PLAN_KEY
from cxr.artifact.kinds import READER_STUDY
from cxr.artifact.metrics import StoredPart
from cxr.data.catalog import CatalogSet, decode_images
from cxr.data.images import fit_square
from cxr.errors import BadInput
from cxr.reader.cases import Case, choose_cases, describe_parts, generator
from cxr.reader.page import MOST_BYTES, reader_page
from cxr.store import Store, sha256

KEY = "key.json"
USUAL_SIDE = 512  # pixels


class CaseOfKey(StoredPart):
    image_id: str
    synthetic: bool
    finding: str
    shown: tuple[str, ...]


class Key(StoredPart):
    """What each place in each reader's page is."""

    study: str
    findings: tuple[str, ...]
    cases: list[CaseOfKey]
    orders: dict[str, list[int]]  # by reader: which case stands at each place


@dataclass(frozen=True)
class PrepareJob(Artifact):
    """All that is fixed before the first page is written."""

    kind = READER_STUDY

    real: CatalogSet
    synthetic: CatalogSet
    cases: list[Case]

    @property
    def readers(self) -> list[str]:
        return [f"reader-{number}" for number in range(1, self.recipe["readers"] + 1)]

    @property
    def findings(self) -> list[str]:
        return sorted({*self.real.vocabulary.findings, *self.synthetic.vocabulary.findings})

    def order(self, reader: str) -> list[int]:
        """Which case stands at each place of a reader's page."""
        words = ("order", self.real.digest, self.synthetic.digest, self.recipe["seed"], reader)
        return [int(case) for case in generator(*words).permutation(len(self.cases))]


def prepare(
    store: Store, real: CatalogSet, synthetic: CatalogSet, readers: int, cases: int, size: int | None, seed: int
) -> PrepareJob:
    """Raises `BadInput` unless the sets have the cases and the place is free."""
    chosen = choose_cases(real, synthetic, cases, seed)
    recipe = {
        "real": real.digest, "synthetic": synthetic.digest, "readers": readers, "cases": cases, "size": size,
        "seed": seed,
    }  # fmt: skip
    job = PrepareJob(store, recipe, real, synthetic, chosen)
    job.refuse_other()
    return job


def read_pictures(job: PrepareJob, advance: Callable[[int], object]) -> np.ndarray:
    """The pictures uint8 [N, S, S] in the order of `cases`, those of both sets decoded and scaled by one function.

    Raises:
        BadInput: a side was asked for to which pictures would have to be blown up, which gives their set away, or at
            which a page is too large; or a picture cannot be read.
    """
    found: dict[int, np.ndarray] = {}
    for one, synthetic in ((job.real, False), (job.synthetic, True)):
        places = {case.image_id: place for place, case in enumerate(job.cases) if case.synthetic == synthetic}
        rows = one.table.filter(pc.is_in(one.table["image_id"], pa.array([*places])))
        of_row = [places[image_id] for image_id in rows["image_id"].to_pylist()]

        def keep(row: int, picture: np.ndarray, of_row: list[int] = of_row) -> None:
            found[of_row[row]] = picture

        decode_images(one.store, rows, keep, advance)
    smallest = min(max(picture.shape) for picture in found.values())
    side = job.recipe["size"] or min(smallest, USUAL_SIDE)
    if side > smallest:
        raise BadInput(
            f"--size {side}: the smallest picture has {smallest} pixels, and one that is blown up shows its set; "
            f"give {smallest} or less"
        )
    if len(found) * side**2 > MOST_BYTES:
        raise BadInput(f"--size {side}: {len(found)} cases make a page that no browser opens; give a smaller size")
    return np.stack([fit_square(found[place], side, "keep") for place in range(len(found))])


def write(job: PrepareJob, pictures: np.ndarray) -> Record:
    """Writes pages and key; returns the record."""
    job.begin(pa.table({"image_id": [case.image_id for case in job.cases]}))
    study, orders = study_name(job), {reader: job.order(reader) for reader in job.readers}
    key = Key(
        study=study, findings=tuple(job.findings), orders=orders,
        cases=[CaseOfKey.model_validate(asdict(case)) for case in job.cases],
    )  # fmt: skip
    objects = [job.store.read_back(PLAN_KEY), job.store.put(KEY, key.model_dump_json(indent=1).encode())]
    for reader, order in orders.items():
        page = reader_page(study, reader, job.findings, pictures[order])
        objects.append(job.store.put(f"{reader}.html", page.encode()))
    metrics: dict[str, Any] = {"study": study, "real_parts": describe_parts(job.cases), "size": pictures.shape[1]}
    inputs = {"real": job.real.digest, "synthetic": job.synthetic.digest}
    return job.new_record(Made.of(objects), objects, metrics, inputs=inputs, seeds={"cases": job.recipe["seed"]})


def study_name(job: PrepareJob) -> str:
    """By which answers are known as of this study; it tells nothing of the cases."""
    return sha256(f"reader study {json.dumps(job.recipe, sort_keys=True)}".encode())[:16]


def read_key(store: Store) -> tuple[Record, Key]:
    """Raises `BadInput` unless a prepared study is there, its key as it was written."""
    store.check(write=False)
    record = read_record(store)
    if record is None or record.kind != READER_STUDY:
        raise BadInput(f"{store.uri}: holds no prepared reader study; give the --out of jobs/reader.py prepare")
    wanted = {stored.key: stored.sha256 for stored in record.objects}
    try:
        data = store.get(KEY)
        if sha256(data) == wanted[KEY]:
            return record, Key.model_validate_json(data)
    except KeyError:
        pass
    raise BadInput(f"{store.uri}/{KEY}: is missing or not as it was written; restore it")
