"""A set less the near-copies that were flagged: a new artifact, so that catalog, card and record of both stay true."""

import io
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr.artifact import Artifact, Made, Record
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, METADATA_KEY, PLAN_KEY
from cxr.artifact.kinds import IMAGES_WITHOUT_COPIES
from cxr.artifact.metrics import LabelMetrics
from cxr.artifact.quality import read_quality
from cxr.data.catalog import CATALOG, READ_THREADS, group_by_key, image_key, metadata_lines, read_files
from cxr.data.lineage import LINEAGE, SET_SOURCES, merge_lineages, phantom_notice, read_lineage, record_lineage
from cxr.data.prompt_accuracy import PROMPT_ACCURACY, prompt_accuracies, record_accuracies
from cxr.errors import BadInput
from cxr.evaluate.calibration import why_too_few
from cxr.evaluate.finish import COPIES_KEY, EvaluateJob
from cxr.report.limits import LIMITS
from cxr.report.pages import render
from cxr.store import Store, digest_of, json_lines, parquet

TAKEN_OUT_KEY = "quarantined.jsonl"


@dataclass(frozen=True)
class QuarantineJob(Artifact):
    """All that is fixed before the first picture is copied."""

    kind = IMAGES_WITHOUT_COPIES

    evaluation: EvaluateJob  # whose flags count; it is finished when pictures are copied


def prepare(job: EvaluateJob, store: Store) -> QuarantineJob:
    """Nothing is written.

    Raises:
        BadInput: the place is the evaluation's, or holds something else, or near-copies cannot be told.
    """
    if reason := why_too_few(job.real.table["split"].to_pylist().count("train")):
        raise BadInput(f"--quarantine {store.uri}: --real has {reason}; leave --quarantine out, or ingest more")
    if store.uri == job.store.uri:
        raise BadInput(f"--quarantine {store.uri}: is --out too; give each a place of its own")
    recipe = {"set": job.synthetic.digest, "real": job.real.digest, "evaluation": job.digest}
    quarantine = QuarantineJob(store, recipe, job)
    quarantine.refuse_other()
    return quarantine


def without_copies(quarantine: QuarantineJob, advance: Callable[[int], object]) -> Record:
    """Writes the pictures that a finished evaluation did not flag as near-copies, a file each, with their own catalog;
    returns the record.

    Raises:
        BadInput: a picture is damaged.
    """
    job, store = quarantine.evaluation, quarantine.store
    synthetic = job.synthetic
    copies = pq.read_table(io.BytesIO(job.store.get(COPIES_KEY))).filter(pc.field("copied"))
    kept = synthetic.table.filter(pc.invert(pc.is_in(synthetic.table["image_id"], copies["image_id"])))
    keys = [image_key(*row) for row in zip(*(kept[name].to_pylist() for name in ("finding", "image_id")), strict=True)]
    shared = {"key": pa.array(keys, pa.string()), "patient_id": pa.nulls(len(kept), pa.string())}  # names nobody
    catalog = pa.table({name: shared.get(name, kept[name]) for name in CATALOG.names}, schema=CATALOG)
    quarantine.begin(catalog)
    size = put_pictures(synthetic.store, kept, store, advance)
    objects = [
        store.read_back(PLAN_KEY),
        store.put(CATALOG_KEY, parquet(catalog)),
        store.put(METADATA_KEY, "".join(metadata_lines(catalog.to_batches(), {"text": "prompt"})).encode()),
        store.put(TAKEN_OUT_KEY, json_lines(copies.select(["image_id", "finding", "score"]).to_pylist())),
        store.put(CARD_KEY, card(catalog, copies, job).encode()),
    ]
    labels = synthetic.vocabulary
    measured = read_quality(job.store).prompt_accuracy
    pairs = zip(keys, kept["sha256"].to_pylist(), strict=True)
    return quarantine.new_record(
        Made(count=len(kept), bytes=size, digest=digest_of(pairs)),
        objects,
        inputs=quarantine.recipe,
        metrics={
            "quarantined": len(copies),
            LINEAGE: record_lineage(merge_lineages(read_lineage(synthetic.record.metrics))),
            SET_SOURCES: synthetic.sources,
            **LabelMetrics(vocabulary=list(labels.findings), exclusive=labels.exclusive).write(),
            PROMPT_ACCURACY: record_accuracies(prompt_accuracies(measured)),
        },
    )


def put_pictures(source: Store, rows: pa.Table, store: Store, advance: Callable[[int], object]) -> int:
    """Copies the pictures of catalog rows, each compared with its sha256; returns their bytes."""

    def copy(part: pa.Table) -> int:
        finding = dict(zip(part["image_id"].to_pylist(), part["finding"].to_pylist(), strict=True))
        size = sum(store.put(image_key(finding[name], name), data).size for name, data in read_files(source, part))
        advance(len(part))
        return size

    with ThreadPoolExecutor(READ_THREADS) as threads:
        return sum(threads.map(copy, group_by_key(rows)))


def card(catalog: pa.Table, copies: pa.Table, job: EvaluateJob) -> str:
    """The dataset card, with the front matter that the Hugging Face hub reads."""
    return render(
        "set_without_copies.md", kept=len(catalog), flagged=len(copies), evaluation=job.digest,
        synthetic=job.synthetic.digest, real=job.real.digest, limits=LIMITS, generator=job.generator,
        about=phantom_notice(job.synthetic.sources),
        counts=sorted(Counter(catalog["finding"].to_pylist()).items()),
        sources=sorted({source or "unstated" for source in catalog["source"].to_pylist()}),
    )  # fmt: skip
