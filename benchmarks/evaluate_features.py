"""Claims: an evaluation that has what an earlier one kept (`--features`) is done at least 4 times as fast; its
features alone are had at least 50 times as fast as from the network; and one pass that gives everything (features,
nearest training picture, finding seen, then the figures) takes at most 1.1 times the network's own time.

The first are whole runs of the job, recipe `inception`, on phantoms of 128 px, one after the other. The others are a
worker's part without Ray on one thread, from PNG files of 128 px with smoothed noise; the figures are those of all
pictures, without intervals. Inception and the classifier have random weights, on which no time depends.
"""

import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import tyro
from _side_by_side import TURNS, Sides, side_by_side, verdict
from _stored import random_inception, stored
from copies_search import noise

from cxr.classify.best_of import predict, small_config
from cxr.classify.classifiers import build_classifier
from cxr.classify.loop import TrainedClassifier
from cxr.classify.task import OneFinding
from cxr.data.catalog import read_unscaled
from cxr.detectors.details import TrainingImageIndex
from cxr.evaluate.conclude import gather_features
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.finish import EvaluateJob
from cxr.evaluate.measure import metrics_of
from cxr.evaluate.worker import Earlier, EvaluateWorker, extractor_here, units_of
from cxr.store import open_store, sha256

AGAIN, KEPT, PASS = 4.0, 50.0, 1.1  # goals
COUNT, TRAINING, NEIGHBOURS = 128, 1000, 5
PHANTOMS = 200  # of each set of the whole runs
JOBS = Path(__file__).parents[1] / "jobs"


def main(turns: int = TURNS, count: int = COUNT, phantoms: int = PHANTOMS) -> None:
    first, second = whole_runs(phantoms)
    print(f"a whole evaluation {first:.1f} s, with the features of the first {second:.1f} s")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        config = EvaluateConfig(extractor=f"inception={random_inception(Path(folder))}")
        sets = [stored(f"{folder}/{name}", noise(rng, count)) for name in ("real", "synthetic")]
        job = EvaluateJob(open_store(f"{folder}/out"), {"extractor": "0" * 64}, config, sets[0], sets[1])
        units, shared = units_of(job), (TrainingImageIndex(noise(rng, TRAINING), range(TRAINING)), classifier())
        (real,), (synthetic,) = units.real, units.synthetic
        work = EvaluateWorker(job.store, config.extractor, config.size, 1, None)
        work(0, pickle.dumps(real), *shared)
        data, extractor = job.store.get(real.features), extractor_here(config.extractor)
        earlier = Earlier(job.store, {real.features: sha256(data)})
        again = EvaluateWorker(job.store, config.extractor, config.size, 1, earlier)
        known = pickle.dumps(replace(real, earlier=(real.features,)))
        pixels = read_unscaled(synthetic.store, synthetic.table)

        def everything() -> None:
            work(1, pickle.dumps(synthetic), *shared)
            sides = [
                gather_features(job.store, part, np.arange(count), {})[0].values
                for part in (units.real, units.synthetic)
            ]
            metrics_of(extractor, NEIGHBOURS)(*sides)

        kept = side_by_side(lambda: again(0, known, *shared), lambda: work(0, pickle.dumps(real), *shared), turns)
        whole = side_by_side(everything, lambda: extractor(pixels), turns)
    told("kept features", kept, "from the network")
    told("one pass", whole, "the network alone")
    verdict(
        first / second >= AGAIN and kept.ratio >= KEPT and 1 / whole.ratio <= PASS,
        f"a second evaluation {first / second:.1f} times as fast (at least {AGAIN:.0f}), kept features "
        f"{kept.ratio:.0f} times (at least {KEPT:.0f}), one pass {1 / whole.ratio:.2f} times the network's time (at "
        f"most {PASS})",
    )


def whole_runs(phantoms: int) -> tuple[float, float]:
    """Seconds of an evaluation of so many pictures a side, and of another that has its features."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in enumerate(("real", "synthetic")):
            source = f"phantom:{phantoms},{seed},normal+pneumonia"
            run("ingest.py", "tiny", "--source", source, "--out", f"{folder}/{name}")
        words = ["evaluate.py", "inception", "--extractor", f"inception={random_inception(Path(folder))}"]
        words += ["--real", f"{folder}/real", "--synthetic", f"{folder}/synthetic", "--size", "128"]
        first = run(*words, "--out", f"{folder}/first")
        return first, run(*words, "--out", f"{folder}/second", "--features", f"{folder}/first")


def run(job: str, *words: str) -> float:
    """Seconds that a job takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, JOBS / job, *words], check=True)
    return time.perf_counter() - start


def told(ours: str, sides: Sides, theirs: str) -> None:
    print(f"{ours} {sides.our_median:.3f} s, {theirs} {sides.their_median:.3f} s")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")


def classifier() -> Callable[[np.ndarray], np.ndarray]:
    config = small_config(1)
    found = TrainedClassifier(build_classifier(config, 2).eval(), [], 0)
    return lambda pixels: predict(found, pixels, config, OneFinding(2))


if __name__ == "__main__":
    tyro.cli(main)
