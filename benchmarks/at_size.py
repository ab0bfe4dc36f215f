"""Claim: the largest public sets fit into a laptop. A table of 400,000 rows in MIMIC's form is read, checked and split
in less than 60 s and 2 GB; a catalog of 1,000,000 rows is read by every job that reads one in less than 4 GB; ingest of
112,120 pictures costs the driver no more than 1.25 times the memory that it costs of 10,000.

Resident memory at its highest (ru_maxrss) of a process that does just that. Rows and pictures of 32 pixels are made up,
14 findings at NIH's prevalences. What workers do (reading and storing pictures) is done by a process that is not
measured; everything else is the jobs' own code, without Ray.
"""

import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from _side_by_side import verdict

SIDE = 32  # pixels
PREVALENCES = {
    "Infiltration": 0.177, "Effusion": 0.119, "Atelectasis": 0.103, "Nodule": 0.056, "Mass": 0.052,
    "Pneumothorax": 0.047, "Consolidation": 0.042, "Pleural_Thickening": 0.030, "Cardiomegaly": 0.025,
    "Emphysema": 0.022, "Edema": 0.021, "Fibrosis": 0.015, "Pneumonia": 0.013, "Hernia": 0.002,
}  # fmt: skip
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
        table = child("table", TABLE, name)
    verdict(
        table["seconds"] < TABLE_SECONDS and table["mb"] < TABLE_MB,
        f"{TABLE:,} rows: {table['seconds']:.0f} s, {table['mb']:.0f} MB (less than {TABLE_SECONDS} s, {TABLE_MB} MB)",
    )
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


def table(count: int, folder: Path) -> None:
    from cxr.data.splits import merge_groups, split_by_group
    from cxr.ingest import job
    from cxr.ingest.config import IngestConfig
    from cxr.store import open_store

    ready = job.prepare(open_store(str(folder / "set")), IngestConfig(size=SIDE), rows(count), folder)
    import pyarrow.parquet as pq

    plan = pq.read_table(ready.plan, columns=["present", "patient_id"])
    groups = merge_groups(plan["patient_id"].to_pylist(), np.arange(count))
    split_by_group(plan["present"].to_pylist(), groups.tolist(), exclusive=False)


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
        work(unit, job.unit_path(folder, unit).read_bytes())


def complete(count: int, folder: Path) -> None:
    from cxr.ingest import finish

    ready = pickle.loads((folder / "job").read_bytes())
    ready.make(lambda: finish.complete(ready, {}, print))


PHASES = {"table": table, "list": list_rows, "store": store_pictures, "complete": complete}

if __name__ == "__main__":
    tyro.cli(main)
