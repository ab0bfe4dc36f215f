"""Features of a frozen network, computed once for all trials of a study."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr import cluster
from cxr.artifact import listed_units, unit_key
from cxr.artifact.keys import COMMITS
from cxr.evaluate.worker import extractor_here
from cxr.store import Store, sha256
from cxr.study.job import StudyJob

UNIT = 256  # pictures


@dataclass(frozen=True)
class FeatureWorker:
    """Stores the features of some of the pictures that all workers share: the same whenever it is called."""

    store: Store
    folder: str
    extractor: str

    def __call__(self, number: int, rows: bytes, pixels: np.ndarray) -> dict[str, Any]:
        """
        Args:
            rows: JSON, the first of them and the one after the last.
            pixels: uint8 [N, H, W].
        """
        first, end = json.loads(rows)
        file = io.BytesIO()
        np.save(file, extractor_here(self.extractor)(pixels[first:end]))
        self.store.put(unit_key(self.folder, number, ".npy"), file.getvalue())
        return {"images": end - first}


def compute_features(ready: StudyJob, pixels: np.ndarray, advance: Callable[[int], object]) -> np.ndarray:
    """Features float32 [N, d] of the pictures uint8 [N, H, W] of `ready.used`, in an open session. They lie with the
    study until it is finished: what is stored is not computed again."""
    store, folder = ready.store, f"{COMMITS}features-{sha256(ready.used.astype(np.int64).tobytes())[:16]}/"
    starts = range(0, len(pixels), UNIT)
    stored = set(listed_units(store, folder))
    units = ((start, min(start + UNIT, len(pixels))) for start in starts)
    todo = [(number, json.dumps(unit).encode()) for number, unit in enumerate(units) if number not in stored]
    if todo:
        workers, gpus = min(len(todo), cluster.default_workers()), int(cluster.has_gpu())
        threads = cluster.max_threads_per_worker(workers) if gpus else 1
        work = FeatureWorker(store, folder, ready.config.classifier.extractor)
        for done in cluster.run_rows(iter(todo), work, workers, threads, gpus, cluster.share(pixels)):
            advance(done["images"])
    keys = (unit_key(folder, number, ".npy") for number in range(len(starts)))
    return np.concatenate([np.load(io.BytesIO(store.get(key)), allow_pickle=False) for key in keys])
