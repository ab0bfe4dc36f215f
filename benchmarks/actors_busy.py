"""Claim: under Ray Data the sampler actors are busy at least 0.97 of their span, start-up apart.

An actor's span runs from the end of its first unit (which includes loading the model) to the end of its last one; it is
busy while it reads a unit's rows and samples them.
"""

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from _side_by_side import verdict

from cxr import cluster, recipes
from cxr.generate import job
from cxr.generate.config import GenerateConfig
from cxr.generate.plan import template_rows
from cxr.store import open_store

GOAL = 0.97
PER_FINDING = 26  # of ten findings: 33 units of eight


@dataclass(frozen=True)
class MakeWatched:
    """Builds the job's own maker in the actor, with a clock around it."""

    make_maker: job.GeneratorFactory
    log: Path  # a folder

    def __call__(self) -> "Watched":
        return Watched(self.make_maker(), self.log / f"{os.getpid()}.jsonl")


class Watched:
    def __init__(self, maker: job.UnitGenerator, log: Path) -> None:
        self.maker, self.log = maker, log

    def rows(self, unit: int) -> list[dict[str, Any]]:
        self.start = time.monotonic()
        return self.maker.rows(unit)

    def make(self, rows: list[dict[str, Any]]) -> np.ndarray:
        pictures = self.maker.make(rows)
        with self.log.open("a") as log:
            log.write(json.dumps([self.start, time.monotonic()]) + "\n")
        return pictures


def main(model: str = "tiny", workers: int = 2) -> None:
    config = recipes.replace_fields(recipes.tiny(), model=model, per_finding=PER_FINDING)
    with cluster.session():
        actors = watched(config, workers)
    busy = {actor: sum(end - start for start, end in units[1:]) for actor, units in actors.items()}
    span = {actor: units[-1][1] - units[0][1] for actor, units in actors.items()}
    for actor, units in actors.items():
        print(f"  actor {actor}: {len(units)} units, busy {busy[actor]:.2f} s of {span[actor]:.2f} s")
    share, made = sum(busy.values()) / sum(span.values()), sum(map(len, actors.values()))
    print(f"{made} units of {config.unit_images} images on {len(actors)} actors, model {model}")
    verdict(share >= GOAL, f"busy {share:.4f} of their span (at least {GOAL})")


def watched(config: GenerateConfig, workers: int) -> dict[str, list[tuple[float, float]]]:
    """(start, end) of every unit that each actor made, in the session's cluster."""
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        log.mkdir()
        ready = job.prepare(open_store(out), config, template_rows(config), Path(folder), lambda line: None)
        pending = job.begin(ready, retry_failed=False).pending
        maker = MakeWatched(job.GeneratorFactory(ready.store, config, ready.model.digest), log)
        keeper = job.UnitWriter(ready.store, config.layout, job.provenance(ready))
        for done in cluster.run_units(pending, maker, keeper, workers, config.sampler.threads):
            if done.error:
                raise RuntimeError(f"unit {done.unit}: {done.error}")
        return {file.stem: [tuple(json.loads(line)) for line in file.open()] for file in log.iterdir()}


if __name__ == "__main__":
    tyro.cli(main)
