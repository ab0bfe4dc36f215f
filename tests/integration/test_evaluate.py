"""The evaluate job as users run it, on an ingested and a generated set."""

import json
import time

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from cxr.data.catalog import read_images, read_set
from cxr.errors import BadInput
from cxr.store import open_store


def test_figures_page_and_pictures_are_there_and_verify(jobs, evaluation):
    told = json.loads((evaluation / "quality.json").read_text())
    assert [group["finding"] for group in told["groups"]] == ["all", "Medical_Devices", "Normal_Anatomy"]
    assert told["real"]["pictures"] == 160 and told["synthetic"]["pictures"] == 26
    far = told["groups"][0]["figures"]["frechet_distance"]["floor"]
    assert far["synthetic"] > far["high"]  # a model of random weights draws no phantoms
    assert told["copies"]["rate"] == {
        "share": 0,
        "low": 0,
        "high": pytest.approx(0.132, abs=1e-3),
        "count": 0,
        "total": 26,
    }
    assert told["agreement"]["synthetic"]["agree"]["total"] == 26
    assert {path.name for path in evaluation.glob("*.png")} == {
        "comparison.png", "prompt_accuracy.png", "distributions.png", "density.png", "copies.png"
    }  # fmt: skip
    assert jobs.verify(evaluation).returncode == 0


def test_the_same_command_again_finishes_at_once_and_another_is_refused(jobs, evaluate_words, evaluation, contents):
    before = contents(evaluation)
    done = jobs.call(*evaluate_words, "--out", evaluation)
    assert done.returncode == 0 and "already there" in done.stdout
    with pytest.raises(BadInput, match=r"holds another recipe's artifact \(seed 0 -> 1\)"):
        jobs.call(*evaluate_words, "--out", evaluation, "--seed", 1)
    assert contents(evaluation) == before


@pytest.mark.slow
def test_copies_are_found_and_taken_out_of_a_set_of_their_own(jobs, shared_ray, real_set, stored_set, tmp_path):
    """A set of every training picture of the real one, which are copies, and of its others, which are not."""
    real = read_set(open_store(str(real_set)))
    findings, split = (np.array(real.table[name].to_pylist()) for name in ("finding", "split"))
    planted = stored_set("planted", read_images(real.store, real.table, 64), finding=findings.tolist())
    words = ("evaluate.py", "tiny", "--real", real_set, "--synthetic", planted.store.uri, "--workers", 1)
    words += ("--size", 32, "--min-samples", 12, "--resamples", 10)
    done = jobs.call(*words, "--out", tmp_path / "out", "--quarantine", tmp_path / "clean")
    assert "more than chance" in done.stdout
    assert jobs.verify(tmp_path / "clean").returncode == 0
    copies = set(np.array(planted.table["image_id"].to_pylist())[split == "train"])
    clean = pq.read_table(tmp_path / "clean" / "catalog.parquet")["image_id"].to_pylist()
    assert not copies & set(clean) and len(clean) >= 0.95 * (len(split) - len(copies))
    assert {path.stem for path in (tmp_path / "clean" / "images").glob("*/*.png")} == set(clean)


@pytest.mark.slow
def test_a_kill_on_the_way_and_another_number_of_workers_change_nothing(
    jobs, evaluate_words, evaluation, contents, tmp_path, no_job_left_over
):
    out = tmp_path / "out"
    job = jobs.start_job(*evaluate_words, "--out", out, "--workers", 1)
    while not list(out.glob("features/*/*/*.parquet")):
        assert job.poll() is None, job.communicate()
        time.sleep(0.02)
    for process in [*psutil.Process(job.pid).children(recursive=True), job]:
        process.kill()
    job.communicate()
    assert not (out / "record.json").exists()
    done = jobs.run(*evaluate_words, "--out", out)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(evaluation)


@pytest.mark.slow
def test_another_evaluation_uses_the_features_of_an_earlier_one(jobs, evaluate_words, evaluation, contents, tmp_path):
    done = jobs.run(*evaluate_words, "--out", tmp_path / "out", "--features", evaluation, "--seed", 1)
    assert done.returncode == 0, done.stderr
    places = evaluation, tmp_path / "out"
    kept, found = ({k: v for k, v in contents(p).items() if k.startswith("features/")} for p in places)
    assert kept and kept == found and jobs.verify(tmp_path / "out").returncode == 0
    done = jobs.run(*evaluate_words, "--out", tmp_path / "other", "--features", tmp_path / "nowhere")
    assert done.returncode == 2 and "holds no finished evaluation" in done.stderr and not (tmp_path / "other").exists()


@pytest.mark.slow
def test_from_a_bucket_into_a_bucket_the_same_bytes(s3, jobs, evaluate_words, small_set, evaluation, contents):
    bucket = f"s3://{s3.make_bucket()}"
    place = open_store(f"{bucket}/set")
    for path in small_set.rglob("*"):
        if path.is_file():
            place.put(path.relative_to(small_set).as_posix(), path.read_bytes())
    moved = [f"{bucket}/set" if word == small_set else word for word in evaluate_words]
    done = jobs.run(*moved, "--out", f"{bucket}/out", "--quarantine", f"{bucket}/clean", env=s3.env)
    assert done.returncode == 0, done.stderr
    assert contents(f"{bucket}/out") == contents(evaluation)
    assert jobs.verify(f"{bucket}/clean").returncode == 0
