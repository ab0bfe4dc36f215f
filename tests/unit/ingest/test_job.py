"""The ingest job up to where Ray would start: whom file names tell, and what a dry run says."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from cxr import cli, cluster
from cxr.data.catalog import read_set
from cxr.errors import BadInput


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return importlib.import_module("cxr.jobs.ingest")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 X-rays of 20 patients, two of each, in a folder for each finding."""
    place, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 256, (40, 40), dtype=np.uint8)
        file = place / ("normal" if number % 4 < 2 else "pneumonia") / f"scan{number // 2:02d}_{number % 2}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(file)
    return place


def run(job: ModuleType, folder: Path, out: Path, *more: str) -> int:
    return job.main(cli.parse(job.Args, ["tiny", "--source", f"folder:{folder}", "--out", str(out), *more]))


def test_a_dry_run_counts_patients_of_file_names(job, folder, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "session", lambda *_: pytest.fail("Ray is started"))
    assert run(job, folder, tmp_path / "out", "--dry-run") == 0
    assert "40 name no patient, and are split by picture" in capsys.readouterr().out
    assert run(job, folder, tmp_path / "out", "--patient-pattern", "scan([0-9]+)_", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "40 pictures (normal 20, pneumonia 20), of 20 patients" in told
    assert "as 16 of its pictures took" in told and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pattern", "more", "why"),
    [
        ("scan([0-9]+", (), "no regular expression"),
        ("scan[0-9]+", (), "has 0 groups"),
        ("patient([0-9]+)", (), "finds no patient in 'normal/scan00_0.png'"),
        ("scan([0-9]+)", ("--ignore-patients",), "give one of the two"),
    ],
)
def test_a_pattern_that_names_nobody_is_refused(job, folder, tmp_path, pattern, more, why) -> None:
    with pytest.raises(BadInput, match=why):
        run(job, folder, tmp_path / "out", "--patient-pattern", pattern, *more)


def test_a_small_set_is_told_what_later_jobs_need(job, stored_set) -> None:
    def lines(count: int) -> list[str]:
        part = ["train", "train", "test", "validation"] * (count // 4)
        pixels = np.zeros((count, 8, 8), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None]
        found = stored_set(f"set{count}", pixels, finding=["a"] * (count // 2) + ["b"] * (count // 2), split=part)
        return job.describe_later_needs(read_set(found.store))

    small = "\n".join(lines(40))
    assert "with 20 training pictures evaluate cannot tell near-duplicates (100 needed)" in small
    assert "here are a 10, b 10: give --min-samples" in small
    assert lines(240) == [
        "the training part has a 60, b 60: study's synth_100 takes as many synthetic pictures of each"
    ]
