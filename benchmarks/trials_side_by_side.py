"""Claim: on 2 cores, two trials side by side are done at least 0.95 as fast as by two plain processes, a thread each.

The same two trials of a study in turns: as jobs/study.py runs them side by side and one after another (because each
asks for both cores), and by two processes without Ray that are kept as its workers are. From the start of the first to
the end of the second, on pictures that are in memory.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from _plain_pair import GOAL, PlainPair, Work, share
from _side_by_side import TURNS, verdict
from study_grid import CONFIG, REAL, pictures, prepared, thinned

from cxr import cluster
from cxr.ranks import Ranks
from cxr.study import job
from cxr.study.config import Arm
from cxr.study.trial import TrialWorker

PAIR = CONFIG.model_copy(update={"arms": (Arm(name="baseline"),)})


@dataclass(frozen=True)
class Clocked:
    """A trial with a clock around it."""

    run: TrialWorker

    def __call__(self, tell: cluster.SendMessage, pixels: np.ndarray, labels: np.ndarray) -> None:
        start = time.time()
        self.run(tell, pixels, labels)
        tell({"start": start, "end": time.time()})


def main() -> None:
    if not REAL.is_file():
        print(f"skipped: no {REAL}")
        return
    seconds: dict[str, list[float]] = {"one": [], "two": [], "plain": []}
    with tempfile.TemporaryDirectory() as folder, cluster.session(2, spare_cpus=0):
        real = thinned(folder)
        with begun(real) as (ready, trials):
            works = [partial(prepare, trial, *pictures(ready)) for trial in trials]
        with PlainPair(works) as plain:
            for turn in range(-1, TURNS):  # the first one starts the workers
                for side in sorted(seconds, reverse=turn % 2 == 1):
                    took = plain() if side == "plain" else span(real, 1 if side == "two" else 2)
                    if turn >= 0:
                        seconds[side].append(took)
    one, two, limit = (statistics.median(seconds[side]) for side in ("one", "two", "plain"))
    print(f"two trials on {len(real.table)} X-rays at {PAIR.classifier.size} px, one thread each")
    print(f"  side by side {two:.1f} s, one after another {one:.1f} s, two plain processes {limit:.1f} s")
    speeds = [[1 / took for took in seconds[side]] for side in ("two", "plain")]
    verdict(limit / two >= GOAL, share(*speeds))


def prepare(trial: TrialWorker, pixels: np.ndarray, labels: np.ndarray) -> Work:
    """In a process: the trial, which stores nothing."""
    return lambda: trial.train(lambda news: None, pixels, labels, Ranks())


def span(real, cores: int) -> float:
    """Seconds that both trials take together where each is given so many cores, and uses one."""
    with begun(real) as (ready, trials):
        clocked = [Clocked(run) for run in trials]
        shared = cluster.share(*pictures(ready))
        told = [news for news in cluster.run_trials(clocked, cores, 1, shared) if "end" in news]
        if len(job.read_trials(ready)) < len(trials):
            raise RuntimeError("a trial failed")
    return max(news["end"] for news in told) - min(news["start"] for news in told)


@contextmanager
def begun(real) -> Iterator[tuple[job.StudyJob, list[TrialWorker]]]:
    """A study that has begun, and its trials."""
    with tempfile.TemporaryDirectory() as out:
        ready = prepared(real, out, PAIR)
        job.begin(ready)
        yield ready, job.pending_trials(ready, 1)


if __name__ == "__main__":
    main()
