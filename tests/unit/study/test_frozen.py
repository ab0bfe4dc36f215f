"""Features of a frozen network: computed once, in parts, whatever was stored before."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cxr.jobs.together import frozen
from cxr.store import open_store


@dataclass
class Here:
    """Ray's part, in this process."""

    done: list[int]

    def run_rows(self, units, work, workers, threads, gpus, shared):
        for number, rows in units:
            self.done.append(number)
            yield work(number, rows, *shared)

    def share(self, *values):
        return list(values)

    def default_workers(self):
        return 2

    def has_gpu(self):
        return False


@pytest.fixture
def here(monkeypatch) -> Here:
    found = Here([])
    monkeypatch.setattr(frozen, "cluster", found)
    monkeypatch.setattr(frozen, "UNIT", 4)
    monkeypatch.setattr(frozen, "extractor_here", lambda spec: lambda pixels: pixels.mean(2, dtype=np.float32))
    return found


def job(folder: Path, used: range) -> SimpleNamespace:
    config = SimpleNamespace(classifier=SimpleNamespace(extractor="rad-dino"))
    return SimpleNamespace(store=open_store(str(folder)), used=np.array(used), config=config)


def test_what_is_stored_is_not_computed_again_and_of_other_pictures_is_not_taken(here: Here, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 3, 5), np.uint8)
    counted: list[int] = []
    first = frozen.compute_features(job(tmp_path, range(10)), pixels, counted.append)
    np.testing.assert_array_equal(first, pixels.mean(2, dtype=np.float32))
    assert here.done == [0, 1, 2] and counted == [4, 4, 2]
    (lost,) = tmp_path.glob("commits/*/00000001.npy")
    lost.unlink()
    again = frozen.compute_features(job(tmp_path, range(10)), pixels, counted.append)
    np.testing.assert_array_equal(again, first)
    assert here.done[3:] == [1]
    other = frozen.compute_features(job(tmp_path, range(5, 15)), pixels[::-1], counted.append)
    np.testing.assert_array_equal(other, first[::-1])
