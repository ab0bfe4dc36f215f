"""Claim: the largest public sets fit into a laptop. A table of 400,000 rows in MIMIC's form is read, checked and split
in less than 60 s and 2 GB; a catalog of 1,000,000 rows is read by every job that reads one in less than 4 GB; ingest of
112,120 pictures costs the driver no more than 1.25 times the memory that it costs of 10,000.

Resident memory at its highest (ru_maxrss) of a process that does just that. Rows and pictures of 32 pixels are made up,
14 findings at NIH's prevalences. What workers do (reading and storing pictures) is done by a process that is not
measured; everything else is the jobs' own code, without Ray.
"""

import gzip
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tyro
from _side_by_side import verdict

SIDE = 32  # pixels
PREVALENCES = {
    "Infiltration": 0.177, "Effusion": 0.119, "Atelectasis": 0.103, "Nodule": 0.056, "Mass": 0.052,
    "Pneumothorax": 0.047, "Consolidation": 0.042, "Pleural_Thickening": 0.030, "Cardiomegaly": 0.025,
    "Emphysema": 0.022, "Edema": 0.021, "Fibrosis": 0.015, "Pneumonia": 0.013, "Hernia": 0.002,
}  # fmt: skip
CHEXPERT = (
    "Enlarged_Cardiomediastinum", "Cardiomegaly", "Lung_Opacity", "Lung_Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural_Effusion", "Pleural_Other", "Fracture", "Support_Devices",
)  # fmt: skip
LINKS = 10_000  # names of one file, of which file systems allow so many
TABLE, CATALOG, FEW, MANY = 400_000, 1_000_000, 10_000, 112_120
TABLE_SECONDS, TABLE_MB, CATALOG_MB, RATIO = 60, 2000, 4000, 1.25


def main(phase: str | None = None, count: int = 0, folder: Path | None = None) -> None:
    """Without a phase: all of them, each in a process of its own."""
    if phase and folder:
        start = time.monotonic()
        PHASES[phase](count, folder)
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"mb": kilobytes * 1024 / 1e6, "seconds": time.monotonic() - start}))
        return
    with tempfile.TemporaryDirectory() as name:
        child("publish", TABLE, name)
        table = child("table", TABLE, name)
    verdict(
        table["seconds"] < TABLE_SECONDS and table["mb"] < TABLE_MB,
        f"{TABLE:,} rows: {table['seconds']:.0f} s, {table['mb']:.0f} MB (less than {TABLE_SECONDS} s, {TABLE_MB} MB)",
    )
    with tempfile.TemporaryDirectory() as name:
        child("make", CATALOG, name)
        highest = max(child(each, CATALOG, name)["mb"] for each in JOBS)
    verdict(highest < CATALOG_MB, f"{CATALOG:,} catalog rows: {highest:.0f} MB at most (less than {CATALOG_MB} MB)")
    driver = {}
    for number in (FEW, MANY):
        with tempfile.TemporaryDirectory() as name:
            measured = [child(each, number, name) for each in ("list", "store", "complete")]
        driver[number] = max(measured[0]["mb"], measured[2]["mb"])
    verdict(
        driver[MANY] < RATIO * driver[FEW],
        f"driver: {driver[FEW]:.0f} MB for {FEW:,} pictures, {driver[MANY]:.0f} for {MANY:,} (at most {RATIO} times)",
    )


def child(phase: str, count: int, folder: str) -> dict[str, float]:
    words = ["--phase", phase, "--count", str(count), "--folder", folder]
    done = subprocess.run([sys.executable, __file__, *words], check=True, text=True, stdout=subprocess.PIPE)
    told = json.loads(done.stdout.splitlines()[-1])
    print(f"  {phase:9} {count:>9,}: {told['mb']:5.0f} MB, {told['seconds']:4.0f} s", flush=True)
    return told


# --- made-up rows and pictures ---


def rows(count: int) -> Iterator:
    from cxr.data.labels import Labels
    from cxr.data.sources import SourceRow

    rng, findings = np.random.default_rng(0), np.array(list(PREVALENCES))
    for number in range(count):
        present = findings[rng.random(len(findings)) < list(PREVALENCES.values())].tolist()
        yield SourceRow(
            f"images/{number:08d}_{number % 7:03d}.png", partial(picture, number), Labels(tuple(present), None),
            exclusive=False, patient_id=f"{int(rng.integers(count // 4)):08d}", view="AP" if number % 3 else "PA",
            sex="F" if number % 2 else "M", age=number % 90, source="made up", mark=f"{number:016x}",
        )  # fmt: skip


def picture(number: int) -> np.ndarray:
    """Smooth as a chest is, so that hashes are near each other now and then, and no other's."""
    import cv2

    rng = np.random.default_rng(number)
    smooth = cv2.resize(rng.normal(0, 40, (7, 7)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    chest = 90 + 60 * np.cos(np.linspace(-3, 3, SIDE))[None, :] * np.ones((SIDE, 1))
    return np.clip(chest + smooth + rng.normal(0, 4, (SIDE, SIDE)), 0, 255).astype(np.uint8)


# --- what is measured ---


def publish(count: int, folder: Path) -> None:
    """The tables as MIMIC-CXR-JPG has them, and as many names of one empty file."""
    names = ["No Finding", *(name.replace("_", " ") for name in CHEXPERT)]
    rng, empty = np.random.default_rng(0), folder / "empty.jpg"
    empty.touch()
    headers = {
        "metadata": "dicom_id,subject_id,study_id,ViewPosition,Rows,Columns",
        "chexpert": f"subject_id,study_id,{','.join(names)}",
        "split": "dicom_id,study_id,subject_id,split",
    }
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(gzip.open(folder / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt", compresslevel=1))
            for name in headers
        }
        for name, header in headers.items():
            print(header, file=files[name])
        for number in range(count):
            patient, study, picture = 10_000_000 + number // 6, 50_000_000 + number // 2, f"{number:08x}-" * 4 + "0"
            print(f"{picture},{patient},{study},{('PA', 'LATERAL')[number % 2]},2544,3056", file=files["metadata"])
            print(f"{picture},{study},{patient},train", file=files["split"])
            if number % 2 == 0:
                marks = rng.choice(["", "1.0", "0.0", "-1.0"], len(names), p=[0.8, 0.1, 0.07, 0.03]).tolist()
                print(f"{patient},{study},{','.join(marks)}", file=files["chexpert"])
            place = folder / f"files/p{str(patient)[:2]}/p{patient}/s{study}"
            place.mkdir(parents=True, exist_ok=True)
            if number % LINKS == 0:
                (empty := folder / f"{number}.empty").touch()
            (place / f"{picture}.jpg").hardlink_to(empty)


def table(count: int, folder: Path) -> None:
    import pyarrow.parquet as pq

    from cxr.data.sources import SOURCES, SourceOptions
    from cxr.data.splits import merge_groups, split_by_group
    from cxr.ingest import job
    from cxr.ingest.config import IngestConfig
    from cxr.store import open_store

    given = SOURCES["mimic-cxr-jpg"](str(folder), SourceOptions())
    ready = job.prepare(open_store(str(folder / "set")), IngestConfig(size=SIDE), given, folder)
    plan = pq.read_table(ready.plan, columns=["present", "patient_id"])
    groups = merge_groups(plan["patient_id"].to_pylist(), np.arange(len(plan)))
    split_by_group(plan["present"].to_pylist(), groups.tolist(), exclusive=False)
    print(f"{len(plan):,} rows")


def list_rows(count: int, folder: Path) -> None:
    from cxr.ingest import job
    from cxr.ingest.config import IngestConfig
    from cxr.store import open_store

    ready = job.prepare(open_store(str(folder / "set")), IngestConfig(size=SIDE), rows(count), folder, print)
    job.begin(ready)
    (folder / "job").write_bytes(pickle.dumps(ready))


def store_pictures(count: int, folder: Path) -> None:
    from cxr.ingest import job

    ready = pickle.loads((folder / "job").read_bytes())
    work = job.IngestWorker(ready.store, ready.config, ready.vocabulary.findings)
    for unit in range(ready.units):
        work(unit, ready.read_rows(unit))


def complete(count: int, folder: Path) -> None:
    from cxr.ingest import finish

    ready = pickle.loads((folder / "job").read_bytes())
    ready.make(lambda: finish.complete(ready, {}, print))


# --- catalogs of a million rows ---


def make_catalogs(count: int, folder: Path) -> None:
    """A real set of several findings a picture and what a model of it made; and two of one finding a picture."""
    for name, exclusive, real in (("real", False, True), ("synthetic", False, False), ("one", True, True),
                                  ("one-synthetic", True, False)):  # fmt: skip
        write_set(folder / name, made_up_catalog(count, exclusive, real), exclusive, real)


def made_up_catalog(count: int, exclusive: bool, real: bool) -> pa.Table:
    from cxr.data.catalog import CATALOG as SCHEMA
    from cxr.data.labels import LISTS, Labels

    rng, findings = np.random.default_rng(int(real)), tuple(sorted(PREVALENCES))
    different = [Labels.only(name) for name in ("normal", "pneumonia")]
    if exclusive:
        findings, drawn = ("normal", "pneumonia"), rng.integers(2, size=count)
    else:
        shown = rng.random((2000, len(findings))) < [PREVALENCES[name] for name in findings]
        different = [Labels(tuple(np.array(findings)[row].tolist()), None) for row in shown]
        drawn = rng.integers(len(different), size=count)
    columns = [one.as_columns(findings) for one in different]
    take = {name: pa.array([c[name] for c in columns], pa.list_(pa.string())).take(pa.array(drawn)) for name in LISTS}
    take["finding"] = pa.array([one.folder(findings) for one in different]).take(pa.array(drawn))
    ids = pa.array([f"{int(real)}{number:031x}" for number in range(count)])
    nothing = pa.nulls(count, pa.string())
    patient = rng.integers(count // 4, size=count)
    parts = np.array(["train", "validation", "test"])[np.searchsorted([0.7, 0.8], rng.random(count // 4))[patient]]
    take |= {
        "image_id": ids,
        "key": pc.binary_join_element_wise("images/", take["finding"], "/", ids, ".png", ""),
        "sha256": pc.binary_join_element_wise(ids, ids, ""),
        "text": pa.array(["a chest radiograph of somebody who was made up"] * count),
        "patient_id": pa.array([f"{number:08d}" for number in patient.tolist()]) if real else nothing,
        "view": pa.array(np.array(["PA", "AP"])[rng.integers(2, size=count)]),
        "sex": pa.array(np.array(["F", "M"])[rng.integers(2, size=count)]),
        "age": pa.array(rng.integers(90, size=count), pa.int32()),
        "split": pa.array(parts) if real else nothing,
        "fold": pa.array(patient % 5, pa.int32(), mask=parts != "train") if real else pa.nulls(count, pa.int32()),
        "source": pa.array(["made up"] * count),
        "licence": pa.array(["unstated"] * count),
    }
    return pa.table({name: take[name] for name in SCHEMA.names}, schema=SCHEMA)


def write_set(folder: Path, catalog: pa.Table, exclusive: bool, real: bool) -> None:
    from cxr.artifact import Made, Record, recipe_digest
    from cxr.artifact.keys import CATALOG_KEY
    from cxr.artifact.kinds import GENERATED_IMAGES, INGESTED_IMAGES
    from cxr.artifact.lifecycle import commit_record
    from cxr.artifact.metrics import LabelMetrics
    from cxr.store import open_store, parquet

    store, findings = open_store(str(folder)), sorted(PREVALENCES)
    labels = LabelMetrics(vocabulary=["normal", "pneumonia"] if exclusive else findings, exclusive=exclusive)
    stored = store.put(CATALOG_KEY, parquet(catalog))
    metrics = labels.write() | {"sources": ["made up"], "patients_seen": []}
    commit_record(
        store,
        Record(
            kind=INGESTED_IMAGES if real else GENERATED_IMAGES, recipe={}, recipe_digest=recipe_digest({}),
            made=Made(count=len(catalog), bytes=0, digest=""), objects=[stored], metrics=metrics,
        ),
    )  # fmt: skip


def finetune(count: int, folder: Path) -> None:
    from cxr import recipes
    from cxr.data.catalog import read_set
    from cxr.finetune import job
    from cxr.store import open_store

    config = recipes.FINETUNE["tiny"]()
    ready = job.prepare(open_store(str(folder / "model")), read_set(open_store(str(folder / "real"))), config, print)
    print(len(ready.plan))


def evaluate(count: int, folder: Path) -> None:
    from cxr import recipes
    from cxr.data.catalog import read_set
    from cxr.data.lineage_lists import NO_LISTS
    from cxr.evaluate import finish
    from cxr.evaluate.generator import check_generator
    from cxr.evaluate.sets import comparable_findings, compared_with, describe_part, open_images
    from cxr.evaluate.worker import units_of
    from cxr.store import open_store

    config = recipes.EVALUATE["tiny"]()
    real, synthetic = (read_set(open_store(str(folder / name))) for name in ("real", "synthetic"))
    comparable_findings(real, synthetic, config)
    generator = check_generator(real, synthetic, NO_LISTS)
    describe_part(real, compared_with(real, synthetic, config), config)
    job = finish.prepare(open_store(str(folder / "evaluation")), config, "", real, synthetic, generator)
    finish.begin(job)
    both = units_of(job), open_images(real, config), open_images(synthetic, config)
    print(len(both))


def quarantine(count: int, folder: Path) -> None:
    from cxr.data.catalog import metadata_lines, read_set
    from cxr.store import open_store

    synthetic = read_set(open_store(str(folder / "synthetic")))
    print(sum(map(len, metadata_lines(synthetic.table.to_batches(8192), {"text": "prompt"}))))


def study(count: int, folder: Path) -> None:
    from cxr import recipes
    from cxr.data.catalog import read_set
    from cxr.store import open_store
    from cxr.study import job

    config = recipes.replace_fields(recipes.STUDY["tiny"](), allow_unchecked_copies=True)
    real, synthetic = (read_set(open_store(str(folder / name))) for name in ("one", "one-synthetic"))
    job.prepare(open_store(str(folder / "study")), config, real, synthetic, None, None)


def gan(count: int, folder: Path) -> None:
    """But for the pixels, 784 bytes a picture."""
    from cxr.data.catalog import read_set
    from cxr.labs.gan import real
    from cxr.store import open_store

    real.read_images = lambda store, rows, size, advance: np.empty((len(rows), 1, 1), np.uint8)  # type: ignore
    real.from_set(read_set(open_store(str(folder / "one"))), 0, print)


JOBS = {"finetune": finetune, "evaluate": evaluate, "quarantine": quarantine, "study": study, "gan": gan}
PHASES = {
    "publish": publish, "table": table, "list": list_rows, "store": store_pictures, "complete": complete,
    "make": make_catalogs, **JOBS,
}  # fmt: skip

if __name__ == "__main__":
    tyro.cli(main)
