"""Bad input of the evaluate job: one clear line, nothing written."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from cxr.data.catalog import read_set
from cxr.errors import BadInput
from cxr.evaluate import finish, forecast
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.features import tiny_extractor
from cxr.report.forecast import Timed
from cxr.store import open_store
from tests.words import parse_options

JOB = Path(__file__).parents[3] / "jobs" / "evaluate.py"


@pytest.fixture(scope="module")
def job():
    return importlib.import_module("cxr.jobs.evaluate")


@pytest.fixture(scope="module")
def places(stored_set) -> dict[str, str]:
    """A real set of 120 pictures, a synthetic one of the same findings, and sets that do not fit."""
    blank = np.arange(120 * 256, dtype=np.uint16).astype(np.uint8).reshape(120, 16, 16)
    both, train = ["a", "b"] * 60, ["train"] * 120
    made = {
        "real": stored_set("real", blank, finding=both, split=train),
        "small": stored_set("small", blank[:60], finding=both[:60], split=train[:60]),
        "undivided": stored_set("undivided", blank, finding=both),
        "synthetic": stored_set("synthetic", blank[:50], finding=both[:50]),
        "others": stored_set("others", blank[:50], finding=["x"] * 50),
        "few": stored_set("few", blank[:30], finding=both[:30]),
    }
    return {name: found.store.uri for name, found in made.items()}


@pytest.mark.parametrize(
    ("real", "synthetic", "options", "line"),
    [
        ("nowhere", "synthetic", {}, "nowhere: no such folder"),
        ("real", "jobs", {}, r"jobs: no record\.json, so unfinished or not a set of ours"),
        ("real", "real", {}, "real: is the same set as --real; give the set to measure"),
        ("real", "others", {}, "no finding is in both sets: --real has a, b; --synthetic has x"),
        ("real", "few", {}, "too few pictures: a is left out: 60 real patients, 15 synthetic pictures; 20 needed"),
        ("undivided", "synthetic", {}, "no picture is in a train part"),
        ("real", "synthetic", {"against": "test"}, "has no test part"),
        ("real", "synthetic", {"extractor": "inseption"}, "no such"),
        ("real", "synthetic", {"recipe": "tinny"}, "did you mean tiny"),
        ("real", "synthetic", {"min_samples": 3}, "--min-samples '3'"),
        ("real", "synthetic", {"size": 9}, "--size '9'"),
        ("real", "synthetic", {"quarantine": "{out}"}, "is --out too"),
        ("real", "synthetic", {"features": "{out}"}, "--features .* holds no finished evaluation"),
        ("real", "synthetic", {"workers": 0}, "--workers 0: give a number from 1"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(job, places, tmp_path, real, synthetic, options, line):
    places = {**places, "jobs": str(JOB.parent), "nowhere": str(tmp_path / "nowhere")}
    out = tmp_path / "out"
    options = {name: value.format(out=out) if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(BadInput, match=line) as caught:
        given = {"recipe": "tiny", "real": places[real], "synthetic": places[synthetic], "out": out} | options
        job.main(parse_options(job, **given))
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_dry_run_says_what_too_few_training_pictures_leave_out(job, places, tmp_path, capsys) -> None:
    given = {"real": places["small"], "synthetic": places["synthetic"], "out": tmp_path / "out", "dry_run": True}
    assert job.main(parse_options(job, recipe="tiny", **given)) == 0
    told = capsys.readouterr().out
    assert "no search for near-duplicates (60 training pictures, where telling near-duplicates takes 100)" in told
    assert "reads: 60 real pictures" in told and not list(tmp_path.iterdir())
    assert "\ntime: about" in told and "as 24 pictures and one measurement of each finding took" in told


def test_the_time_of_metrics_is_of_every_half_of_every_finding_and_of_pairs(job, places, monkeypatch) -> None:
    monkeypatch.setattr(forecast, "timed", lambda work, *given: Timed(work(*given), 1.0))
    real, synthetic = (read_set(open_store(places[name])) for name in ("small", "synthetic"))
    config = EvaluateConfig(resamples=100, splits=10, pairs=48)
    ready = finish.prepare(open_store(f"{places['small']}/../none"), config, "digest", real, synthetic)
    halves, pairs = 3 * (100 + 2 * 10), 2 * 2 * 48 / forecast.PROBED  # of both findings and of all; of both sets
    assert forecast.time_metrics(ready, ("a", "b"), tiny_extractor()) == halves + pairs
