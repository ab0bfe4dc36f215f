"""The generate job with a constant picture in place of the sampler: all but the sampling is the job's own."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cxr import cluster
from cxr.generate import job
from cxr.generate.config import GenerateConfig
from cxr.generate.plan import PlanReader
from cxr.store import Store

SIDE = 64  # px


@dataclass(frozen=True)
class MakeDryMaker:
    """Travels to an actor, as `job.GeneratorFactory` does."""

    store: Store
    config: GenerateConfig

    def __call__(self) -> "DryMaker":
        return DryMaker(self)


class DryMaker:
    def __init__(self, order: MakeDryMaker) -> None:
        self.folder = tempfile.TemporaryDirectory()
        plan = Path(self.folder.name, "plan.parquet")
        plan.write_bytes(order.store.get(job.PLAN_KEY))
        self.reader = PlanReader(plan, order.config.unit_images)

    def rows(self, unit: int) -> list[dict[str, Any]]:
        return self.reader.rows(unit)

    def make(self, rows: list[dict[str, Any]]) -> np.ndarray:
        return np.full((len(rows), SIDE, SIDE), 128, np.uint8)


def run_dry(ready: job.GenerateJob, pending: pa.Array, workers: int = 2) -> Iterator[cluster.UnitDone]:
    """Makes and stores the units in the session's cluster.

    Raises:
        RuntimeError: a unit failed.
    """
    maker = MakeDryMaker(ready.store, ready.config)
    keeper = job.UnitWriter(ready.store, ready.config.layout, job.provenance(ready))
    for done in cluster.run_units(pending, maker, keeper, workers, threads=1):
        if done.error:
            raise RuntimeError(f"unit {done.unit}: {done.error}")
        yield done


def run_some(ready: job.GenerateJob, most: int) -> int:
    """Begins or resumes the job and makes up to `most` units; returns how many were made."""
    state = job.begin(ready, retry_failed=False)
    if not len(state.pending):
        return 0
    with cluster.session():
        return sum(1 for _ in islice(run_dry(ready, state.pending), most))
