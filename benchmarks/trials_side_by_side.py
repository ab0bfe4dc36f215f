"""Claim: on 2 cores, two trials side by side are done at least 1.7 times as fast as one after another, a thread each.

The same two trials of a study in turns, as jobs/study.py runs them; one after another because each asks for both cores.
From the start of the first to the end of the second, on pictures that are in memory, Ray and its workers being up.
"""

import tempfile
import time
from dataclasses import dataclass

import numpy as np
from _side_by_side import TURNS, Sides, verdict
from study_grid import CONFIG, REAL, prepared, shared, thinned

from cxr import cluster
from cxr.study import job
from cxr.study.config import Arm
from cxr.study.trial import TrialWorker

GOAL = 1.7
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
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder, cluster.session(2, spare_cpus=0):
        real = thinned(folder)
        for turn in range(-1, TURNS):  # the first one starts the workers
            for cores in sorted(seconds, reverse=turn % 2 == 1):
                took = span(real, cores)
                if turn >= 0:
                    seconds[cores].append(took)
    sides = Sides(seconds[1], seconds[2])
    print(f"two trials on {len(real.table)} X-rays at {PAIR.classifier.size} px, one thread each")
    print(f"  side by side {sides.our_median:.1f} s, one after another {sides.their_median:.1f} s")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times as fast (at least {GOAL})")


def span(real, cores: int) -> float:
    """Seconds that both trials take together where each is given so many cores, and uses one."""
    with tempfile.TemporaryDirectory() as out:
        ready = prepared(real, out, PAIR)
        job.begin(ready)
        trials = [Clocked(run) for run in job.pending_trials(ready, 1)]
        told = [news for news in cluster.run_trials(trials, cores, 1, shared(ready)) if "end" in news]
        if len(job.read_trials(ready)) < len(trials):
            raise RuntimeError("a trial failed")
    return max(news["end"] for news in told) - min(news["start"] for news in told)


if __name__ == "__main__":
    main()
