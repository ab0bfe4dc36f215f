"""Bring real X-rays in: `cxr ingest RECIPE --source KIND:PLACE --out URI`.

Exit code 0: all there. 2: bad input, or too many pictures that cannot be used.
"""

import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.data.sources import SOURCES, SourceOptions, SourceRow, choose_findings, parse_source
from cxr.errors import BadInput
from cxr.ingest.config import IngestConfig
from cxr.progress import note, progress
from cxr.store import open_store

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.data.catalog import CatalogSet
    from cxr.ingest.job import IngestJob


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.INGEST
    recipe: Suppress[str]
    config: cli.FromRecipe[IngestConfig]
    source: str
    """KIND:PLACE. folder:, table:, dicom:, npz:, idx: and a path; a public set as downloaded: nih14:, chexpert:,
    mimic-cxr-jpg:, padchest:, vindr:, rsna:, brax:, kermany:, covid-radiography:, openi: and its folder;
    hub:owner/name@revision; phantom:count, digits:count."""
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
    patient_pattern: str = ""
    """Where file names tell the patient: a regular expression whose group is the id, as "IM_([0-9]+)_"."""
    ignore_patients: bool = False
    """Split by picture: for ids that stand for nobody, such as one for all. A patient may then be on both sides."""
    workers: int | None = None
    """Readers at work side by side; by default one for each core."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


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
        if args.dry_run:
            from cxr.ingest.forecast import forecast

            print(forecast(ready).text(store.uri))
            return cli.DONE

        def work() -> "Record":
            ingest_units(ready, args.workers)
            return finish.complete(ready, {"total": time.monotonic() - start}, note)

        record = ready.make(work)
    from cxr.cluster import COMPUTE_USAGE
    from cxr.data.catalog import read_set

    took = COMPUTE_USAGE.summary(record.timings["total"])
    print(f"{record.made.count} images, {record.made.bytes / 1e6:.1f} MB, {took}: {store.uri}")
    print(f"look at {store.uri}/{finish.PICTURE_KEY}, read {store.uri}/{finish.CARD_KEY}")
    for line in describe_later_needs(read_set(store)):
        print(line)
    return cli.DONE


def describe_later_needs(found: "CatalogSet") -> list[str]:
    """What later jobs need of this set, where it has less, and how many pictures a study takes beside it."""
    import pyarrow.compute as pc

    from cxr.evaluate.config import HELD_OUT, LEAST_TRAIN, EvaluateConfig
    from cxr.evaluate.sets import count_patients, count_pictures

    asked, train = EvaluateConfig(), found.table.filter(pc.equal(found.table["split"], "train"))
    held_out, shown = count_patients(found, HELD_OUT, asked), count_pictures(replace(found, table=train), asked)
    lines = []
    if len(train) < LEAST_TRAIN:
        lines.append(
            f"too small for some of what comes: with {len(train)} training pictures evaluate cannot tell "
            f"near-duplicates ({LEAST_TRAIN} needed) and does the rest; study then asks for --allow-unchecked-copies"
        )
    if few := [f"{name} {held_out[name]}" for name in sorted(shown) if held_out[name] < asked.min_samples]:
        lines.append(
            f"evaluate compares with held-out patients, {asked.min_samples} of a finding at least, and here are "
            f"{', '.join(few)}: give --min-samples, or it leaves these findings out or compares with all pictures"
        )
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(shown.items()))
    lines.append(f"the training part has {counts}: study's synth_100 takes as many synthetic pictures of each")
    return lines


def read_rows(args: Args, source: str, config: IngestConfig) -> Iterator[SourceRow]:
    """The rows of a source as the options ask for them."""
    kind, place = parse_source(source)
    options = SourceOptions(
        size=config.size, seed=config.seed, columns=args.columns, label_columns=args.label_columns,
        separator=args.separator, allow_missing=args.allow_missing,
    )  # fmt: skip
    rows = choose_findings(SOURCES[kind](place, options), config.findings, SOURCES[kind].findings)
    if args.patient_pattern:
        return name_patients(rows, args.patient_pattern)
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


def name_patients(rows: Iterable[SourceRow], pattern: str) -> Iterator[SourceRow]:
    """The rows with the patient that the pattern finds in each name."""
    for row in rows:
        found = re.search(pattern, row.name)
        if not found or not found[1]:
            raise BadInput(f"--patient-pattern {pattern}: finds no patient in {row.name!r}; mend it, or the name")
        yield replace(row, patient_id=found[1])


def check_pattern(pattern: str) -> None:
    """`BadInput` unless it is a regular expression with one group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise BadInput(f"--patient-pattern {pattern}: no regular expression ({error}); mend it") from None
    if groups != 1:
        raise BadInput(f"--patient-pattern {pattern}: has {groups} groups; put the patient's part into one ( )")


def build_config(args: Args) -> IngestConfig:
    """The configuration, checked."""
    cli.check_workers(args.workers)
    if args.patient_pattern:
        check_pattern(args.patient_pattern)
        if args.ignore_patients:
            raise BadInput("--ignore-patients leaves patients out, --patient-pattern names them; give one of the two")
    return args.config
