"""A set less the flagged near-duplicates: a new artifact, so that catalog, card and record of both stay true."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Artifact, Made, Record
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, METADATA_KEY, PLAN_KEY, TAKEN_OUT_KEY
from cxr.artifact.kinds import AUDIT, EVALUATION, IMAGES_WITHOUT_COPIES
from cxr.artifact.metrics import LabelMetrics
from cxr.data.catalog import CATALOG, READ_THREADS, CatalogSet, group_by_key, image_key, metadata_lines, read_files
from cxr.data.labels import shown_findings
from cxr.data.lineage import LINEAGE, SET_SOURCES, merge_lineages, phantom_notice, read_lineage, record_lineage
from cxr.data.prompt_accuracy import PROMPT_ACCURACY, PromptAccuracy, judge_labels, record_accuracies
from cxr.errors import BadInput
from cxr.progress import progress
from cxr.report.limits import AUDIT_LIMITS, LIMITS, unaudited
from cxr.report.pages import render
from cxr.store import Store, digest_of, json_lines, parquet

OF_SEARCH = {EVALUATION: LIMITS, AUDIT: AUDIT_LIMITS}  # what a search finds and misses, by the kind of its artifact


@dataclass(frozen=True)
class QuarantineJob(Artifact):
    """All that is fixed before the first picture is copied."""

    kind = IMAGES_WITHOUT_COPIES

    search: Artifact  # the evaluation or audit whose flags count; it is finished when pictures are copied
    synthetic: CatalogSet
    generator: str  # what is known of whom it was shown


def prepare(store: Store, search: Artifact, real: CatalogSet, synthetic: CatalogSet, generator: str) -> QuarantineJob:
    """Nothing is written.

    Raises:
        BadInput: the place is the search's, or holds something else.
    """
    if store.uri == search.store.uri:
        raise BadInput(f"--quarantine {store.uri}: is --out too; give each a place of its own")
    recipe = {"set": synthetic.digest, "real": real.digest, search.kind: search.digest}
    quarantine = QuarantineJob(store, recipe, search, synthetic, generator)
    quarantine.refuse_other()
    return quarantine


def write_set(quarantine: QuarantineJob, copies: pa.Table, accuracies: list[PromptAccuracy]) -> str:
    """The set without the flagged pictures, unless it is there already; returns what was written, in words. Args and
    raises as `without_copies`."""
    with progress("quarantine", len(quarantine.synthetic.table), "pictures") as advance:
        record = quarantine.take_finished() or quarantine.make(
            lambda: without_copies(quarantine, copies, accuracies, advance)
        )
    taken = record.metrics["quarantined"]
    labels = f"; labels: {judge_labels(accuracies)}" if any(one.mostly_wrong for one in accuracies) else ""
    return f"{record.made.count} pictures less {taken} flagged as near-duplicates{labels}: {quarantine.store.uri}"


def without_copies(
    quarantine: QuarantineJob, copies: pa.Table, accuracies: list[PromptAccuracy], advance: Callable[[int], object]
) -> Record:
    """Writes the pictures that the finished search did not flag, a file each, with their own catalog; returns the
    record.

    Args:
        copies: a row for each flagged picture: `image_id`, `finding`, and scores; names no training picture.
        accuracies: how often pictures of the set show what was asked for, by finding; empty if not measured.

    Raises:
        BadInput: a picture is damaged.
    """
    store, synthetic = quarantine.store, quarantine.synthetic
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
        store.put(TAKEN_OUT_KEY, json_lines(copies.to_pylist())),
        store.put(CARD_KEY, card(quarantine, catalog, len(copies), accuracies).encode()),
    ]
    labels = synthetic.vocabulary
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
            PROMPT_ACCURACY: record_accuracies(accuracies),
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


def count_findings(catalog: pa.Table) -> list[tuple[str, int]]:
    """How many pictures show each finding, by name; a picture of several counts for each of them."""
    rows = catalog.select(["present", "finding"]).to_pylist()
    return sorted(Counter(name for row in rows for name in shown_findings(row)).items())


def describe_model(record: Record) -> str:
    """What the set's pictures were made with, as far as its record tells."""
    names = {"model": "model", "lora": "LoRA"}
    parts = [f"{name} `{record.inputs[key][:16]}`" for key, name in names.items() if record.inputs.get(key)]
    return f"made with {' and '.join(parts)} (digests), as the card of that set says" if parts else ""


def card(quarantine: QuarantineJob, catalog: pa.Table, flagged: int, accuracies: Sequence[PromptAccuracy] = ()) -> str:
    """The dataset card, with the front matter that the Hugging Face hub reads."""
    search = quarantine.search
    labels = f"Labels: {judge_labels(accuracies)}." if accuracies else ""
    return render(
        "set_without_copies.md", kept=len(catalog), flagged=flagged, search=search.kind, digest=search.digest,
        synthetic=quarantine.recipe["set"], real=quarantine.recipe["real"], limits=OF_SEARCH[search.kind],
        unaudited=unaudited("this set"), generator=quarantine.generator,
        about=phantom_notice(quarantine.synthetic.sources), labels=labels, accuracies=list(map(str, accuracies)),
        model=describe_model(quarantine.synthetic.record),
        counts=count_findings(catalog), exclusive=quarantine.synthetic.vocabulary.exclusive,
        sources=sorted({source or "unstated" for source in catalog["source"].to_pylist()}),
    )  # fmt: skip
