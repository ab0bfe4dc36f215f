"""Whatever dies in mid-run, the same command finishes the job, and the bytes are those of an undisturbed run."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr.store import open_store

IMAGES, BATCH, UNITS = 52, 4, 13
LONG = ("--findings", "Pleural_Conditions", "--per-finding", IMAGES, "--steps", 20, "--batch", BATCH)
Job = subprocess.Popen
pytestmark = pytest.mark.usefixtures("no_job_left_over")


def committed(place: str | Path) -> set[int]:
    """The units whose commit is stored."""
    return {int(key[-13:-5]) for key, _ in open_store(str(place)).list("commits/")}


def await_commits(job: Job, place: str | Path, count: int) -> set[int]:
    """Waits until `count` units are committed; the job must still be at work then."""
    end = time.monotonic() + 240
    while len(found := committed(place)) < count:
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < end, "no unit is committed"
        time.sleep(0.02)
    return found


def offspring(job: Job) -> list[psutil.Process]:
    return psutil.Process(job.pid).children(recursive=True)


def end_driver(job: Job, how: signal.Signals) -> tuple[str, str]:
    """Signals the driver (all of its terminal's processes for Ctrl-C) and waits until nothing of it can write any more.

    Ray's agents, which only watch, may need a minute longer.
    """
    family = [process for process in offspring(job) if not process.name().endswith("Agent")]
    if how is signal.SIGINT:
        os.killpg(job.pid, how)
    else:
        job.send_signal(how)
    said = job.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=120)
    assert not alive, alive
    return said


def moments(place: Path) -> dict[str, int]:
    return {str(p.relative_to(place)): p.stat().st_mtime_ns for p in place.glob("images/*/*.png")}


@pytest.fixture(scope="module")
def undisturbed(jobs, tmp_path_factory) -> Path:
    """The long set as one worker makes it."""
    place = tmp_path_factory.mktemp("undisturbed") / "set"
    done = jobs.generate(place, *LONG, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return place


def test_a_reader_never_sees_a_record_before_what_it_names(small_set):
    seen = json.loads((small_set.parent / "first_seen.json").read_text())
    assert seen["checked"] == 26 + 5 and seen["missing"] == seen["damaged"] == []


@pytest.fixture
def whole(jobs, undisturbed, contents) -> Callable[..., None]:
    """Checks that a place holds the undisturbed run's bytes, that verify agrees, and that no debris is left."""

    def check(place: str | Path, env: dict[str, str] | None = None, like: Path = undisturbed) -> None:
        made, expected = contents(place), contents(like)
        assert sorted(made) == sorted(expected)
        assert [key for key in made if made[key] != expected[key]] == []
        checked = jobs.run("verify.py", place, env=env)
        assert checked.returncode == 0, checked.stdout
        if isinstance(place, Path):
            assert len([path for path in place.rglob("*") if path.is_file()]) == len(made) + 1

    return check


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_stored_and_failed_units_wait_for_retry_failed(jobs, whole, tmp_path):
    place = tmp_path / "set"
    job = jobs.start(place, *LONG, "--workers", 2)
    await_commits(job, place, 2)
    _, err = end_driver(job, signal.SIGINT)
    assert job.returncode == 130, err
    assert "stopped; what is stored stays, and the same command goes on:" in err and f"--out {place}" in err
    assert "Traceback" not in err
    kept = moments(place)
    assert kept and not (place / "record.json").exists()
    assert jobs.run("verify.py", place).returncode == 2

    last = UNITS - 1
    assert last not in committed(place)
    open_store(str(place)).put(f"failed/{last:08d}.json", json.dumps({"unit": last, "error": "planted"}).encode())
    done = jobs.generate(place, *LONG, "--workers", 2)
    assert done.returncode == 3 and not done.stdout
    hint = done.stderr[done.stderr.index("1 of 13 units failed") :]
    assert "--retry-failed" in hint and f"{place}/failed/" in hint
    assert committed(place) == set(range(last)) and not (place / "record.json").exists()

    done = jobs.generate(place, *LONG, "--workers", 2, "--retry-failed")
    assert done.returncode == 0, done.stderr
    whole(place)
    assert kept.items() <= moments(place).items()


@pytest.mark.slow
def test_a_terminated_job_stops_as_by_ctrl_c(jobs, tmp_path):
    """What `ray job stop` and Kubernetes send, while workers are at work."""
    place = tmp_path / "set"
    job = jobs.start(place, *LONG, "--workers", 2)
    await_commits(job, place, 1)
    _, err = end_driver(job, signal.SIGTERM)
    assert job.returncode == 130, err
    assert "stopped; what is stored stays, and the same command goes on:" in err and "SIGTERM" not in err


@pytest.mark.slow
def test_a_spent_budget_keeps_what_is_stored_and_the_same_command_goes_on(jobs, whole, tmp_path):
    """At a price of one a second a budget is a number of seconds: the first is too short, and each next one twice as
    long, until the set is whole."""
    place, kept = tmp_path / "set", {}
    for seconds in (8, 16, 32, 64, 128, 256):
        done = jobs.generate(place, *LONG, "--workers", 1, "--price", "3600 EUR", "--budget", seconds)
        assert kept.items() <= moments(place).items()
        if not done.returncode:
            break
        assert done.returncode == 4 and not done.stdout, done.stderr
        assert "is spent at 3600.00 EUR an hour; what is stored stays" in done.stderr
        assert f"--out {place}" in done.stderr and "Traceback" not in done.stderr
        assert not (place / "record.json").exists()
        kept = moments(place)
    assert seconds > 8 and done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(" EUR at 3600.00 EUR an hour")
    assert json.loads((place / "record.json").read_text())["hour_price"] == "3600 EUR"
    whole(place)


@pytest.mark.slow
@pytest.mark.parametrize("units", [3, UNITS])
def test_a_killed_driver(jobs, whole, tmp_path, units):
    """In the middle, and while it writes catalog and record."""
    place = tmp_path / "set"
    job = jobs.start(place, *LONG, "--workers", 1)
    await_commits(job, place, units)
    end_driver(job, signal.SIGKILL)
    commits = [json.loads(path.read_text()) for path in place.glob("commits/*.json")]
    kept = {image["key"] for commit in commits for image in commit}
    before = moments(place)

    done = jobs.generate(place, *LONG, "--workers", 1)
    assert done.returncode == 0, done.stderr
    whole(place)
    after = moments(place)
    assert {key for key in before if before[key] != after[key]}.isdisjoint(kept)


@dataclass(frozen=True)
class Filtered:
    """A set that keeps the accepted pictures alone, as one worker makes it undisturbed."""

    place: Path
    words: tuple[str | int | Path, ...]
    seconds: float  # from the first picture to the record


@pytest.fixture(scope="module")
def filtered(jobs, small_set, stored_set, tmp_path_factory) -> Filtered:
    """Judged by pictures of the same model, so that about half are refused and several rounds are made."""
    rows = pq.read_table(small_set / "catalog.parquet").to_pylist()
    pixels = np.stack([np.asarray(Image.open(small_set / row["key"])) for row in rows])
    split = ["train" if number % 2 else "validation" for number in range(len(rows))]
    judge = stored_set("judge", pixels, finding=[row["finding"] for row in rows], split=split)
    asked = ("--findings", "Normal_Anatomy,Medical_Devices", "--accept", "realism", "--quota", 8, "--tries", 8)
    settings = ("--max-percentile", 60, "--steps", 2, "--batch", 4, "--seed", 5, "--workers", 1)
    words = (*asked, "--real", judge.store.uri, *settings)
    place = tmp_path_factory.mktemp("filtered") / "set"
    job = jobs.start(place, *words)
    await_commits(job, place, 1)
    start = time.monotonic()
    said = job.communicate(timeout=240)
    assert job.returncode == 0, said
    return Filtered(place, words, time.monotonic() - start)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["at random", "at random again", "once refused pictures are put aside"])
def test_a_filtered_set_whose_driver_is_killed(jobs, whole, filtered, tmp_path, point):
    """Each time it is run somewhere else: while pictures are made, judged, or sorted into the set and out of it."""
    place = tmp_path / "set"
    job = jobs.start(place, *filtered.words)
    await_commits(job, place, 1)
    if point.startswith("at random"):
        end = time.monotonic() + np.random.default_rng().uniform(0, filtered.seconds)
        while job.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
    else:
        while job.poll() is None and not any(place.glob("refused/*/*.png")):
            time.sleep(0.001)
    if job.poll() is None:  # else it was faster than the undisturbed one
        end_driver(job, signal.SIGKILL)
    left = {name: len([*place.glob(f"{name}/*")]) for name in ("commits", "verdicts", "refused")}
    print(f"killed {point}: {left}, record {(place / 'record.json').exists()}")  # pytest -rP shows it

    done = jobs.generate(place, *filtered.words)
    assert done.returncode == 0, done.stderr
    whole(place, like=filtered.place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem that about half of the long set fits into."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small filesystem can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_cleanly_and_goes_on_when_there_is_room(jobs, whole, small_disk):
    place = small_disk / "set"
    done = jobs.generate(place, *LONG, "--workers", 1)
    assert done.returncode == 2 and not done.stdout, done.stderr
    told = f"generate.py: {place}: disk full; free space and run the same command again"
    assert done.stderr.splitlines()[-1] == told and "Traceback" not in done.stderr
    kept = moments(place)
    assert 0 < len(committed(place)) < UNITS
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = jobs.generate(place, *LONG, "--workers", 1)
    assert done.returncode == 0, done.stderr
    whole(place)
    assert len(kept.items() - moments(place).items()) <= BATCH


@pytest.mark.slow
def test_a_dev_shm_too_small_for_ray_is_done_without(jobs, small, small_set, contents, tmp_path):
    """As containers have it where nobody asked for more: 64 MB."""
    command = jobs.command(*jobs.words(tmp_path / "set", *small))
    smaller = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"', "sh")
    if subprocess.run([*smaller, "true"], capture_output=True).returncode:
        pytest.skip("no filesystem can be mounted here")
    done = subprocess.run([*smaller, *command], env=jobs.env(None), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "set") == contents(small_set)
