"""Claim: 10,000 pictures are looked up among 10,000 training pictures in less than 60 s on 2 cores.

With all that it takes: the training pictures made ready, spectra, the ten most similar ones aligned in three sizes and
both orientations. Pictures are smoothed noise of 128 px: what they show does not change how long it takes. On a busy
machine the CPU time over both cores says what an idle one would need.
"""

import os
import time

import cv2
import numpy as np
import tyro
from _side_by_side import verdict

from cxr.evaluate.copies import TrainingImageIndex

GOAL = 60.0
SIDE, CORES = 128, 2


def main(count: int = 10_000) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    rng = np.random.default_rng(0)
    training, queries = noise(rng, count), noise(rng, count)
    copied = rng.permutation(count)[: count // 100]
    queries[: len(copied)] = np.roll(training[copied], 3, axis=2)
    start, cpu = time.perf_counter(), time.process_time()
    originals = TrainingImageIndex(training, range(count))
    ready = time.perf_counter() - start
    found = originals.nearest(queries)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert np.array_equal(found.rows[: len(copied)], copied), "a planted copy is not found"
    print(f"{count:,} x {count:,} pictures, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"  {seconds:.1f} s, of them {ready:.1f} s to make the training pictures ready; {cpu:.1f} s of CPU time")
    print(f"  over {CORES} cores {cpu / CORES:.1f} s")
    verdict(
        seconds < GOAL, f"{seconds:.1f} s, {cpu / CORES:.1f} s by CPU time over {CORES} cores (less than {GOAL:.0f})"
    )


def noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """uint8 [count, SIDE, SIDE] with details of about the size and contrast that ribs have."""
    pictures = (rng.standard_normal((SIDE, SIDE), np.float32) for _ in range(count))
    return np.stack([np.clip(128 + 300 * cv2.GaussianBlur(p, (0, 0), 3), 0, 255).astype(np.uint8) for p in pictures])


if __name__ == "__main__":
    tyro.cli(main)
