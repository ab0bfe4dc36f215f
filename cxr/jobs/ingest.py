"""Bring real X-rays in: `cxr ingest RECIPE --source KIND:PLACE --out URI`.

Exit code 0: all there. 2: bad input, or too many pictures that cannot be used.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.data.sources import SOURCES, SourceOptions, SourceRow, choose_findings, parse_source
from cxr.ingest.config import IngestConfig
from cxr.progress import note, progress
from cxr.store import open_store

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.ingest.job import IngestJob


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.INGEST
    recipe: Suppress[str]
    config: cli.FromRecipe[IngestConfig]
    source: str
    """KIND:PLACE. folder:, table:, dicom:, npz:, idx: and a path; a public set as downloaded: nih14:, chexpert:,
    mimic-cxr-jpg:, padchest:, vindr:, rsna:, brax:, kermany:, covid-radiography:, openi: and its folder;
    hub:owner/name@revision; phantom:count."""
    out: str
    """Where the set goes: a local folder or s3://bucket/prefix."""
    columns: str = ""
    """For table: which column is what, e.g. file=path,finding=label,patient_id=subject."""
    label_columns: str = ""
    """For table: columns of 1 (present), 0 (absent), -1 (uncertain) or blank (unknown), one a finding, with commas."""
    separator: str = ""
    """For table: what parts several findings in a cell; by default any of | ; and the comma."""
    allow_missing: bool = False
    """Leave out pictures that the tables name and that are not there, as where a part of a set was downloaded."""
    ignore_patients: bool = False
    """Split by picture: for ids that stand for nobody, such as one for all. A patient may then be on both sides."""
    workers: int | None = None
    """Readers at work side by side; by default one for each core."""


def main(args: Args) -> int:
    """Bring X-rays of any usual form into one clean, catalogued, split set."""
    start = time.monotonic()
    config = build_config(args)
    parse_source(args.source)
    store = open_store(args.out)
    store.check()
    from cxr.ingest import job  # heavier: only for words that can be used

    with tempfile.TemporaryDirectory() as folder:
        ready = job.prepare(store, config, read_rows(args, args.source, config), Path(folder), note)
        from cxr.ingest import finish  # heavy: only for input that can be used

        if record := job.read_finished_set(ready):
            print(f"already there: {record.made.count} images in {store.uri}")
            return cli.DONE

        def work() -> "Record":
            ingest_units(ready, args.workers)
            return finish.complete(ready, {"total": time.monotonic() - start}, note)

        record = ready.make(work)
    from cxr.cluster import COMPUTE_USAGE

    took = COMPUTE_USAGE.summary(record.timings["total"])
    print(f"{record.made.count} images, {record.made.bytes / 1e6:.1f} MB, {took}: {store.uri}")
    print(f"look at {store.uri}/{finish.PICTURE_KEY}, read {store.uri}/{finish.CARD_KEY}")
    return cli.DONE


def read_rows(args: Args, source: str, config: IngestConfig) -> Iterator[SourceRow]:
    """The rows of a source as the options ask for them."""
    kind, place = parse_source(source)
    options = SourceOptions(
        size=config.size, seed=config.seed, columns=args.columns, label_columns=args.label_columns,
        separator=args.separator, allow_missing=args.allow_missing,
    )  # fmt: skip
    rows = choose_findings(SOURCES[kind](place, options), config.findings, SOURCES[kind].findings)
    return (replace(row, patient_id=None) for row in rows) if args.ignore_patients else rows


def ingest_units(ready: "IngestJob", workers: int | None) -> None:
    """Reads and stores every unit that is not stored yet."""
    from cxr import cluster
    from cxr.ingest import job

    pending, watch = job.begin(ready)
    if not pending:
        return
    units = ((unit, ready.read_rows(unit)) for unit in pending)
    done_before = max(0, ready.images - len(pending) * ready.config.unit_images)
    with cluster.session(workers or 0), progress("ingest", ready.images, "images", done_before) as advance:
        work = job.IngestWorker(ready.store, ready.config, ready.vocabulary.findings)
        for done in cluster.run_rows(units, work, workers or cluster.worker_cpus()):
            watch.add(done)
            advance(done["images"], f"{watch.refused} rejected" if watch.refused else "")


def build_config(args: Args) -> IngestConfig:
    """The configuration, checked."""
    cli.check_workers(args.workers)
    return args.config
