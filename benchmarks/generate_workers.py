"""Claim: on 2 cores, two workers generate at least 0.95 as fast as two plain processes, a thread each, started before.

In turns the whole job's stages with one worker and with two, Ray being up, and two processes without Ray that sample,
encode and store the same units, one after another. A worker's rate is counted from the end of its first unit, which
loads the model, to the end of its last one; the rates of those that work side by side add up.
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path

import tyro
from _plain_pair import GOAL, PlainPair, Work, share
from _side_by_side import TURNS, verdict
from actors_busy import watched

from cxr import cluster, recipes
from cxr.generate import job
from cxr.generate.config import GenerateConfig
from cxr.generate.plan import template_rows
from cxr.store import open_store

UNITS = 12
RECIPE = recipes.tiny()
CONFIG = recipes.replace_fields(
    RECIPE,
    findings="Pleural_Conditions",
    per_finding=UNITS * RECIPE.unit_images,
)


def main() -> None:
    rates: dict[str, list[float]] = {"one": [], "two": [], "plain": []}
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as folder, cluster.session():
        ready = job.prepare(open_store(out), CONFIG, template_rows(CONFIG), Path(folder), lambda line: None)
        pending = job.begin(ready, retry_failed=False).pending.to_pylist()
        maker = job.GeneratorFactory(ready.store, CONFIG, ready.model.digest)
        keeper = job.UnitWriter(ready.store, CONFIG.layout, job.provenance(ready))
        halves = [partial(prepare, maker, keeper, pending[start::2]) for start in (0, 1)]
        with PlainPair(halves) as plain:
            for turn in range(TURNS):
                for side in sorted(rates, reverse=turn % 2 == 1):
                    made = UNITS * CONFIG.unit_images
                    rate = made / plain() if side == "plain" else workers_rate(CONFIG, 2 if side == "two" else 1)
                    rates[side].append(rate)
    one, two, limit = (statistics.median(rates[side]) for side in ("one", "two", "plain"))
    print(f"{UNITS} units of {CONFIG.unit_images} pictures, {CONFIG.sampler.steps} steps each, one thread a worker")
    print(f"  two workers {two:.2f} pictures/s, one {one:.2f} ({two / one:.2f} times), two plain processes {limit:.2f}")
    verdict(two >= GOAL * limit, share(rates["two"], rates["plain"]))


def prepare(maker: job.GeneratorFactory, keeper: job.UnitWriter, units: list[int]) -> Work:
    """In a process: makes and stores these units."""
    generator = maker()

    def work() -> None:
        for unit in units:
            rows = generator.rows(unit)
            keeper(unit, rows, generator.make(rows), "")

    return work


def workers_rate(config: GenerateConfig, workers: int) -> float:
    """Pictures a second."""
    actors = watched(config, workers).values()
    if len(actors) != workers:
        raise RuntimeError(f"{len(actors)} actors made the units, not {workers}")
    return sum((len(units) - 1) * config.unit_images / (units[-1][1] - units[0][1]) for units in actors)


if __name__ == "__main__":
    tyro.cli(main)
