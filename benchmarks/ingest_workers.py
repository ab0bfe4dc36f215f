"""Claim: on 2 cores, two readers take in the NIH set at least 0.95 as fast as two plain processes do, start-up apart.

In turns the job's own units over Ray Data with one reader and with two, 773 X-rays to 512 x 512 pixels into a folder,
and two processes without Ray that read and store half of the units each. A reader's pace is counted from the end of its
first unit (which includes loading the libraries) to the end of its last one; the paces of two add up.
"""

import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from _plain_pair import GOAL, PlainPair, Work, share
from _side_by_side import TURNS, verdict

from cxr import cluster
from cxr.data.sources import SOURCES, SourceOptions
from cxr.ingest import job
from cxr.ingest.config import IngestConfig
from cxr.store import open_store

REAL = Path(__file__).parents[2] / "shared" / "data" / "nih-cxr" / "manifest.csv"
PHANTOMS = "773"  # drawing one takes longer than reading an X-ray

Units = Sequence[tuple[int, bytes]]


@dataclass(frozen=True)
class Clocked:
    """The job's work with a clock around it."""

    take: job.IngestWorker

    def __call__(self, unit: int, rows: bytes) -> dict[str, Any]:
        images = self.take(unit, rows)["images"]
        return {"reader": os.getpid(), "end": time.time(), "images": images}


def main() -> None:
    kind, place = ("table", str(REAL)) if REAL.is_file() else ("phantom", PHANTOMS)
    config = IngestConfig()
    paces: dict[str, list[float]] = {"one": [], "two": [], "plain": []}
    with tempfile.TemporaryDirectory() as listed, cluster.session(2):
        rows = SOURCES[kind](place, SourceOptions(size=config.size, notes=lambda line: None))
        ready = job.prepare(open_store(f"{listed}/set"), config, rows, Path(listed))
        units = [(unit, ready.read_rows(unit)) for unit in range(ready.units)]
        with PlainPair([partial(prepare, config, units[start::2]) for start in (0, 1)]) as plain:
            for turn in range(TURNS):
                for side in sorted(paces, reverse=turn % 2 == 1):
                    pace = ready.images / plain() if side == "plain" else readers_pace(units, config, side)
                    paces[side].append(pace)
    one, two, limit = (statistics.median(paces[side]) for side in ("one", "two", "plain"))
    print(f"{ready.images} images ({kind}) in {ready.units} units to {config.size} x {config.size} px")
    print(f"  images a second: two readers {two:.0f}, one {one:.0f}, two plain processes {limit:.0f}")
    verdict(two >= GOAL * limit, share(paces["two"], paces["plain"]))


def prepare(config: IngestConfig, units: Units) -> Work:
    """In a process: takes in these units."""

    def work() -> None:
        with tempfile.TemporaryDirectory() as out:
            take = job.IngestWorker(open_store(out), config, ())
            for unit, rows in units:
                take(unit, rows)

    return work


def readers_pace(units: Units, config: IngestConfig, readers: str) -> float:
    """Images a second of all readers."""
    with tempfile.TemporaryDirectory() as out:
        work = Clocked(job.IngestWorker(open_store(out), config, ()))
        ends = defaultdict(list)
        for unit in cluster.run_rows(iter(units), work, 2 if readers == "two" else 1):
            ends[unit["reader"]].append((unit["end"], unit["images"]))
    told = [sorted(of_one) for of_one in ends.values()]
    return sum(sum(images for _, images in t[1:]) / (t[-1][0] - t[0][0]) for t in told)


if __name__ == "__main__":
    main()
