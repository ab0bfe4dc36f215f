"""The ingest job as users run it: local Ray, a folder and a real S3 server."""

import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

SOURCE = "phantom:320"


def ingest(jobs, out: str | Path, *words: str | int, **options):
    return jobs.run("ingest.py", "tiny", "--source", SOURCE, "--out", out, "--size", 64, *words, **options)


@pytest.fixture(scope="module")
def whole(jobs, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("ingest") / "set"
    done = ingest(jobs, place)
    assert done.returncode == 0, done.stderr
    assert "320 images" in done.stdout and f"look at {place}/split_report.png" in done.stdout
    return place


def test_the_set_is_split_by_patient_and_verifies(jobs, whole):
    catalog = pq.read_table(whole / "catalog.parquet").to_pylist()
    assert len(catalog) == 320
    sides = {}
    for row in catalog:
        sides.setdefault(row["patient_id"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values()) and len(sides) < 320
    assert jobs.verify(whole).returncode == 0


def test_the_same_command_again_finishes_at_once(jobs, whole):
    done = ingest(jobs, whole)
    assert done.returncode == 0 and "already there: 320 images" in done.stdout


def test_a_killed_driver_goes_on_and_ends_with_the_same_bytes(jobs, whole, contents, tmp_path):
    place = tmp_path / "set"
    words = ("ingest.py", "tiny", "--source", SOURCE, "--out", place, "--size", 64, "--workers", 1)
    job = jobs.start_job(*words)
    while not list(place.glob("commits/*.json")):
        assert job.poll() is None, job.communicate()
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert not (place / "record.json").exists()
    done = jobs.run(*words)
    assert done.returncode == 0, done.stderr
    assert contents(place) == contents(whole)


def test_into_a_bucket_the_same_bytes(s3, jobs, whole, contents):
    place = f"s3://{s3.make_bucket()}/set"
    done = ingest(jobs, place, env=s3.env)
    assert done.returncode == 0, done.stderr
    assert contents(place) == contents(whole)
