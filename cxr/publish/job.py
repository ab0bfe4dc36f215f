"""A set handed on: packed in units, its catalog, card and record written last. No record here names a patient."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cxr.artifact import Artifact, Made, Record, listed_units, unit_key
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, COMMITS, METADATA_KEY, PLAN_KEY
from cxr.artifact.kinds import PUBLISHED_IMAGES
from cxr.artifact.metrics import AuditMetrics, LabelMetrics
from cxr.artifact.quality import Quality
from cxr.data.catalog import CATALOG, READ_THREADS, CatalogSet, group_by_key, list_rows, metadata_lines, read_files
from cxr.data.lineage import SET_SOURCES
from cxr.publish.card import public_sources, render_card, responsible_use, title, usual_licence
from cxr.publish.croissant import CROISSANT_KEY, encode_croissant
from cxr.publish.formats import FORMATS, SHARDED, FormatName, Unit
from cxr.publish.public import public_png
from cxr.store import Store, StoredObject, digest_of, parquet

UNIT, FILES_UNIT = 1000, 200  # pictures that are packed and stored together: of a shard; of a file each
PUT_THREADS = 8


@dataclass(frozen=True)
class PublishJob(Artifact):
    """All that is fixed before the first picture is packed. Its recipe holds digests and words alone."""

    kind = PUBLISHED_IMAGES
    scratch = (PLAN_KEY, COMMITS)

    source: CatalogSet
    rows: pa.Table  # the public catalog; keys and digests are still those of the source
    form: FormatName
    audit: AuditMetrics | None  # None: it is published as unaudited
    quality: Quality | None
    licence: str | None

    @property
    def unit_size(self) -> int:
        return UNIT if self.form in SHARDED else FILES_UNIT

    @property
    def units(self) -> int:
        return -(-len(self.rows) // self.unit_size)

    def unit_rows(self, number: int) -> pa.Table:
        return self.rows.slice(number * self.unit_size, self.unit_size)


def publish_recipe(
    found: CatalogSet, form: FormatName, audit: Record | None, evaluation: Record | None, licence: str | None
) -> dict[str, Any]:
    """What is published, in words that may be."""
    given = {"audit": audit, "evaluation": evaluation}
    digests = {name: record and record.recipe_digest for name, record in given.items()}
    return {"set": found.digest, "as": form, "licence": licence, **digests}


def publish_set(job: PublishJob, advance: Callable[[int], object]) -> Record:
    """Packs what is not packed yet, then writes what belongs beside it; returns the record."""
    job.begin(job.rows.select(["image_id"]))
    done = set(listed_units(job.store))
    for number in range(job.units):
        if number not in done:
            store_unit(job, number)
        advance(len(job.unit_rows(number)))
    return complete(job)


def store_unit(job: PublishJob, number: int) -> None:
    """Packs a unit and stores it, its commit last.

    Raises:
        BadInput: a picture is damaged, or bears no mark of generated media.
    """
    rows = job.unit_rows(number)
    files = read_public(job.source.store, rows)
    listed, vocabulary = rows.to_pylist(), job.source.vocabulary
    unit = Unit(number, job.units, listed, files, vocabulary, job.source.digest)
    packed = FORMATS[job.form](unit)
    with ThreadPoolExecutor(PUT_THREADS) as threads:
        stored = list(threads.map(job.store.put, packed.objects, packed.objects.values()))
    commit = {"pictures": packed.pictures, "objects": [[one.key, one.size, one.sha256] for one in stored]}
    job.store.put(unit_key(COMMITS, number), json.dumps(commit).encode())


def read_public(store: Store, rows: pa.Table) -> list[bytes]:
    """The pictures of catalog rows as they may leave, in the rows' order."""

    def read(part: pa.Table) -> list[tuple[str, bytes]]:
        found = read_files(store, part)
        return [(image_id, public_png(data, f"{store.uri}: {image_id}")) for image_id, data in found]

    with ThreadPoolExecutor(READ_THREADS) as threads:
        files = dict(pair for part in threads.map(read, group_by_key(rows)) for pair in part)
    return [files[image_id] for image_id in rows["image_id"].to_pylist()]


def read_commits(job: PublishJob) -> Iterator[tuple[list[tuple[str, str]], list[StoredObject]]]:
    """Of each unit its pictures, as `Packed` has them, and its objects."""
    for number in range(job.units):
        commit = json.loads(job.store.get(unit_key(COMMITS, number)))
        yield [(key, digest) for key, digest in commit["pictures"]], [StoredObject(*one) for one in commit["objects"]]


def complete(job: PublishJob) -> Record:
    """Writes what belongs beside the pictures; returns the record."""
    pictures: list[tuple[str, str]] = []
    objects: list[StoredObject] = []
    for of_unit, of_store in read_commits(job):
        pictures += of_unit
        objects += of_store
    catalog = public_catalog(job.rows, pictures)
    published = Made(count=len(pictures), bytes=sum(one.size for one in objects), digest=digest_of(pictures))
    listed = list_rows(catalog)
    stored = job.store.put(CATALOG_KEY, parquet(catalog))
    beside = {CARD_KEY: card_of(job, listed).encode(), CROISSANT_KEY: croissant_of(job, listed, stored)}
    if job.form == "imagefolder":
        beside[METADATA_KEY] = "".join(metadata_lines(catalog.to_batches(), {"text": "prompt"})).encode()
    named = objects if job.form in SHARDED else []  # the catalog names the others
    return job.new_record(
        published,
        [stored, *named, *(job.store.put(key, data) for key, data in beside.items())],
        inputs={},
        metrics={
            SET_SOURCES: public_sources(job.source),
            **LabelMetrics(
                vocabulary=list(job.source.vocabulary.findings), exclusive=job.source.vocabulary.exclusive
            ).write(),
            "audit": {"verdict": job.audit.verdict, "risks": job.audit.risks} if job.audit else "unaudited",
        },
    )


def public_catalog(rows: pa.Table, pictures: Sequence[Sequence[str]]) -> pa.Table:
    """The rows with the keys and digests of what was stored."""
    keys, digests = ([*column] for column in zip(*pictures, strict=True))
    own = {"key": pa.array(keys, pa.string()), "sha256": pa.array(digests, pa.string())}
    return pa.table({name: own.get(name, rows[name]) for name in CATALOG.names}, schema=CATALOG)


def card_of(job: PublishJob, rows: list[dict[str, Any]]) -> str:
    digests = {name: job.recipe[name] for name in ("audit", "evaluation") if job.recipe[name]}
    return render_card(job.source, rows, job.form, job.audit, job.quality, job.licence, digests)


def croissant_of(job: PublishJob, rows: list[dict[str, Any]], catalog: StoredObject) -> bytes:
    about, licence = responsible_use(job.source, rows, job.audit), job.licence or usual_licence(rows)
    return encode_croissant(job.form, catalog, title(len(rows), job.audit), about, licence)
