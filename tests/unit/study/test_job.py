"""What the study job refuses when its sets are read leaves nothing behind. Ray is not started."""

import contextlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from cxr import cli, cluster
from cxr.data.catalog import CatalogSet
from cxr.errors import BadInput

JOB = Path(__file__).parents[3] / "jobs" / "study.py"


@pytest.fixture(scope="module")
def job():
    spec = importlib.util.spec_from_file_location("study_job", JOB)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def twin_set(real_set: CatalogSet, stored_set) -> CatalogSet:
    """Real pictures in other files: larger ones of the same."""
    real = np.random.default_rng(1).integers(0, 256, (60, 32, 32), dtype=np.uint8)[:48]
    return stored_set("twins", real.repeat(2, 1).repeat(2, 2), finding=["normal", "pneumonia"] * 24,
                      metrics={"patients_seen": []})  # fmt: skip


def refuse(*given: object, **named: object) -> None:
    raise BadInput("no room")


@pytest.mark.parametrize(
    ("missing", "line"),
    [(None, "synthetic pictures are real ones"), ("session", "no room"), ("check_room", "no room")],
)
def test_a_refusal_leaves_nothing_in_out(
    job, real_set: CatalogSet, twin_set: CatalogSet, tmp_path: Path, monkeypatch, missing: str | None, line: str
) -> None:
    """Else the set without its copies would be refused there as another recipe's."""
    monkeypatch.setattr(cluster, "session", lambda *given, **named: contextlib.nullcontext())
    monkeypatch.setattr(cluster, "check_room", lambda *given: None)
    if missing:
        monkeypatch.setattr(cluster, missing, refuse)
    words = ["tiny", "--real", real_set.store.uri, "--synthetic", twin_set.store.uri, "--out", str(tmp_path / "out"),
             "--resize", "32", "--size", "32", "--allow-unchecked-copies", "--workers-per-trial", "2"]  # fmt: skip
    with pytest.raises(BadInput, match=line):
        job.main(cli.parse(job.Args, words, ""))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
