"""Claim: on 2 cores, two readers take in the NIH set at least 1.7 times as fast as one, start-up apart.

The job's own units over Ray Data, 773 X-rays to 512 x 512 pixels into a folder. A reader's pace is counted from the end
of its first unit (which includes loading the libraries) to the end of its last one; the paces of two add up.
"""

import os
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _side_by_side import TURNS, Sides, verdict

from cxr import cluster
from cxr.data.sources import SOURCES, SourceOptions
from cxr.ingest import job
from cxr.ingest.config import IngestConfig
from cxr.store import open_store

GOAL = 1.7
REAL = Path(__file__).parents[2] / "shared" / "data" / "nih-cxr" / "manifest.csv"
PHANTOMS = "773"  # drawing one takes longer than reading an X-ray

Units = list[tuple[int, bytes]]


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
    seconds_an_image: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as listed, cluster.session(2):
        rows = SOURCES[kind](place, SourceOptions(size=config.size, notes=lambda line: None))
        ready = job.prepare(open_store(f"{listed}/set"), config, rows, Path(listed))
        units = [(unit, ready.read_rows(unit)) for unit in range(ready.units)]
        for turn in range(TURNS):
            for readers in (1, 2) if turn % 2 else (2, 1):
                seconds_an_image[readers].append(1 / pace(units, config, readers))
    sides = Sides(seconds_an_image[2], seconds_an_image[1])
    print(f"{ready.images} images ({kind}) in {ready.units} units to {config.size} x {config.size} px")
    print(f"  two readers {1 / sides.our_median:.0f} images a second, one {1 / sides.their_median:.0f}")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times as fast (at least {GOAL})")


def pace(units: Units, config: IngestConfig, readers: int) -> float:
    """Images a second of all readers."""
    with tempfile.TemporaryDirectory() as out:
        work = Clocked(job.IngestWorker(open_store(out), config, ()))
        ends = defaultdict(list)
        for unit in cluster.run_rows(iter(units), work, readers):
            ends[unit["reader"]].append((unit["end"], unit["images"]))
    told = [sorted(of_one) for of_one in ends.values()]
    return sum(sum(images for _, images in t[1:]) / (t[-1][0] - t[0][0]) for t in told)


if __name__ == "__main__":
    main()
