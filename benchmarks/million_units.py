"""Claim: with N units the driver needs less than 1 GB, and N/1000 LISTs to resume.

The job's own code plans, resumes and completes the set in processes of their own, whose resident memory at its highest
(ru_maxrss) is told. Simulated are the sampler (a constant picture, one a unit), the S3 server (`Bucket` counts what it
would be asked for), the workers (a hundred units of each finding are stored by the job's own code, of the others just
the commits are written) and Ray, whose seconds a unit are measured on a thousand. Nine minutes for a million.
"""

import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from mmap import mmap
from pathlib import Path
from typing import Any, Literal

import psutil
import tyro
from _dry import SIDE, MakeDryMaker, run_dry
from _side_by_side import verdict

from cxr import cluster, recipes
from cxr.artifact import unit_key
from cxr.artifact.keys import COMMITS
from cxr.data.catalog import image_key
from cxr.generate import job
from cxr.generate.config import GenerateConfig
from cxr.generate.plan import template_rows
from cxr.generate.writer import Image
from cxr.store import ListedObject, StoredObject, open_store, sha256
from cxr.store.local import LocalStore

LIMIT = 1000  # MB
FINDINGS = 10
RAY_UNITS = 1000
STORED = 100  # units of each finding whose pictures are stored; the contact sheet shows some of them
LARGE = ("catalog.parquet", "images/metadata.jsonl")
PAGE = 1000  # keys in an answer to LIST, and in a DELETE
PROVENANCE = json.dumps({"model": "a constant picture"})
Phase = Literal["plan", "make", "resume", "complete", "ray"]


@dataclass(frozen=True)
class Bucket(LocalStore):
    """A folder whose pictures and commits are rows of one file, as a million files take long; counts requests."""

    asked: Counter[str] = field(default_factory=Counter, compare=False)
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def put(self, key: str, data: bytes | mmap) -> StoredObject:
        self.asked["PUT"] += 1
        if not small(key):
            return super().put(key, data)
        with self.lock:
            self.rows.execute("INSERT OR REPLACE INTO objects VALUES (?, ?)", (key, data))
        return StoredObject(key, len(data), sha256(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.asked["PUT"] += 1
        return super().put_if_absent(key, data)

    def get(self, key: str) -> bytes:
        self.asked["GET"] += 1
        if not small(key):
            return super().get(key)
        with self.lock:
            found = self.rows.execute("SELECT data FROM objects WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise KeyError(key)
        return found[0]

    def read_back(self, key: str) -> StoredObject:
        self.asked["GET"] += 1
        return super().read_back(key)

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        self.asked["LIST"] += 1
        if not small(prefix):
            yield from super().list(prefix)
            return
        last, page = prefix, "SELECT key, length(data) FROM objects WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
        while found := self.rows.execute(page, (last, prefix + "~", PAGE)).fetchall():
            yield from (ListedObject(*row) for row in found)
            last = found[-1][0]
            self.asked["LIST"] += len(found) == PAGE

    def delete(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.asked["DELETE"] += -(-len(keys) // PAGE)
        with self.rows:
            self.rows.executemany("DELETE FROM objects WHERE key = ?", ((key,) for key in keys))

    @cached_property
    def rows(self) -> sqlite3.Connection:
        self.root.mkdir(exist_ok=True)
        file = f"{self.root}.sqlite"
        rows = sqlite3.connect(file, timeout=600, isolation_level=None, check_same_thread=False)
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = OFF")
        rows.execute("CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, data BLOB)")
        return rows


def small(key: str) -> bool:
    return key.startswith("commits/") or key.endswith(".png")


def main(units: int = 1_000_000, folder: Path | None = None, phase: Phase | None = None, quarter: int = 0) -> None:
    """Without a phase: all of them, each in a process of its own."""
    if folder and phase:
        print(json.dumps(measured(phase, units, folder, quarter)))
        return
    with tempfile.TemporaryDirectory() as name:
        plan = told(child("plan", units, name))
        told(child("make", units, name, 0), child("make", units, name, 1))
        resume = told(child("resume", units, name))
        told(child("make", units, name, 2), child("make", units, name, 3))
        complete = told(child("complete", units, name))
        told(child("ray", units, name))
    highest, lists = max(each["mb"] for each in (plan, resume, complete)), resume["asked"]["LIST"]
    verdict(
        highest < LIMIT and lists <= units // 2 // PAGE + 3,
        f"at most {highest:.0f} MB resident in the driver (less than {LIMIT}); {lists} LISTs to resume",
    )


def child(phase: Phase, units: int, folder: str, quarter: int = 0) -> subprocess.Popen[str]:
    words = ["--phase", phase, "--units", str(units), "--folder", folder, "--quarter", str(quarter)]
    return subprocess.Popen([sys.executable, __file__, *words], text=True, stdout=subprocess.PIPE)


def told(*children: subprocess.Popen[str]) -> dict:
    """Waits for all, prints what they say; returns what the last one said."""
    for each in children:
        said, _ = each.communicate()
        if each.returncode:
            raise RuntimeError(f"a phase ended with {each.returncode}")
        found = json.loads(said.splitlines()[-1])
        asked = ", ".join(f"{count:,} {verb}" for verb, count in sorted(found["asked"].items()))
        print(
            f"  {found['phase']:9} {found['mb']:5.0f} MB {found['seconds']:6.0f} s; {found['what']}; {asked}",
            flush=True,
        )
    return found


def measured(phase: Phase, units: int, folder: Path, quarter: int) -> dict:
    start, store = time.monotonic(), Bucket(folder / "set")
    what = ray_overhead(folder) if phase == "ray" else run(phase, units, store, quarter)
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"phase": phase, "mb": mb, "seconds": time.monotonic() - start, "what": what, "asked": dict(store.asked)}


def run(phase: Phase, units: int, store: Bucket, quarter: int) -> str:
    config = configured(units)
    if phase == "make":
        some = range(units * quarter // 4, units * (quarter + 1) // 4)
        make(store, config, some)
        return f"made {len(some):,} units"
    with tempfile.TemporaryDirectory() as folder:
        ready = job.prepare(store, config, template_rows(config), Path(folder), print)
        begun = time.monotonic()
        state = job.begin(ready, retry_failed=False)
        what = (
            f"{len(state.pending):,} of {ready.plan.units:,} units to make, listed in {time.monotonic() - begun:.0f} s"
        )
        if phase != "complete":
            return what
        record = job.complete(ready, "dry", {})
        sizes = {key: (store.root / key).stat().st_size / 1e6 for key in ("plan.parquet", *LARGE)}
        return f"{what}; the record names {record.made.count:,} images; " + ", ".join(
            f"{key} {size:.0f} MB" for key, size in sizes.items()
        )


def configured(units: int) -> GenerateConfig:
    recipe = recipes.tiny()
    return recipes.replace_fields(recipe, size=SIDE, batch=1, per_finding=units // FINDINGS)


def make(store: Bucket, config: GenerateConfig, units: Iterable[int]) -> None:
    """As an actor and the storing stage do, without Ray between them; of most units just the commit, in bulk."""
    maker, keep = MakeDryMaker(store, config)(), job.UnitWriter(store, config.layout, PROVENANCE)
    planted = []
    for unit in units:
        rows = maker.rows(unit)
        if unit % config.per_finding < STORED:
            keep(unit, rows, maker.make(rows), "")
        else:
            planted.append((unit_key(COMMITS, unit), commit_of(rows)))
    with store.rows:
        store.rows.execute("BEGIN")
        store.rows.executemany("INSERT INTO objects VALUES (?, ?)", planted)
    store.asked["PUT"] += len(planted) * (1 + config.unit_images)


def commit_of(rows: list[dict[str, Any]]) -> bytes:
    """As `store_unit` writes it, of pictures that were never encoded."""
    pictures = ((row["image_id"], image_key(row["finding"], row["image_id"])) for row in rows)
    return json.dumps([asdict(Image(name, key, SIDE**2, sha256(key.encode()))) for name, key in pictures]).encode()


def ray_overhead(folder: Path) -> str:
    """What Ray itself takes for units that take nothing."""
    config, process = configured(RAY_UNITS), psutil.Process()
    with tempfile.TemporaryDirectory() as temp:
        ready = job.prepare(open_store(str(folder / "ray")), config, template_rows(config), Path(temp), print)
        state = job.begin(ready, retry_failed=False)
        with cluster.session():
            for number, _ in enumerate(run_dry(ready, state.pending)):
                if number == RAY_UNITS // 10:
                    begun, held = time.monotonic(), process.memory_info().rss
            each = (time.monotonic() - begun) / (number - RAY_UNITS // 10)
            grown = (process.memory_info().rss - held) / (number - RAY_UNITS // 10)
    return f"Ray takes {1000 * each:.1f} ms a unit and {grown / 1000:.1f} kB of the driver's memory"


if __name__ == "__main__":
    tyro.cli(main)
