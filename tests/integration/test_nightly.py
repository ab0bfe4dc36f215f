"""Nights as a cluster runs them: one after another into the same place, some of them badly."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from cxr.artifact import unit_key, verify
from cxr.ingest.job import content_digest
from cxr.nightly.lease import LENGTH, newest_token, read_claim, take_lease
from cxr.nightly.places import LEASES
from cxr.nightly.pointer import read_latest
from cxr.nightly.trend import read_nights
from cxr.store import Store, open_store

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD = "2026-11-01", "2026-11-02", "2026-11-03"
LAX = {
    "max-excess-distance": 1e6,
    "max-distance-ratio": 100,
    "min-prompt-accuracy": 0,
    "max-accuracy-drop": 1,
    "max-copy-rate": 1,
}
AUDITED = ("--audit", "tiny --size 64 --false-alarms 0.1 --permutations 200 --resamples 100 --planted 5 --shown 2")


@pytest.fixture(scope="module")
def words(jobs, tmp_path_factory):
    """`words(night, ...)`: the command of a small night; everything passes its gate."""
    out = tmp_path_factory.mktemp("nightly") / "out"
    steps = {
        "ingest": "tiny --size 64",
        "finetune": f"tiny --model {jobs.model} --size 64 --batch 4 --rank 4 --max-train-steps 2",
        "generate": "tiny --size 64 --steps 2 --findings Normal_Anatomy,Medical_Devices --per-finding 13 --workers 1",
        "evaluate": "tiny --size 64 --min-samples 12 --resamples 10 --workers 1",
    }
    options = [word for name, value in {**steps, **LAX}.items() for word in (f"--{name}", value)]
    place = ("nightly.py", "tiny", "--out", out, "--source", "phantom:320")
    return lambda night, *more: (*place, *options, "--date", night, *more)


@pytest.fixture(scope="module")
def root(words) -> Store:
    return open_store(str(words(FIRST)[3]))


@pytest.fixture(scope="module")
def first(jobs, words, root) -> Store:
    """The place after a night that passed."""
    done = jobs.run(*words(FIRST, *AUDITED))
    assert done.returncode == 0, done.stderr
    verdict, places = done.stdout.splitlines()
    assert verdict.startswith(f"night {FIRST} passed its gate; latest is {FIRST}, in ")
    assert places.startswith(f"look at {root.uri}/nights/")
    return root


@pytest.fixture(scope="module")
def second(jobs, words, first) -> str:
    """What a night says that asks for more than last night's figures."""
    done = jobs.run(*words(SECOND, "--min-prompt-accuracy", 1, "--keep", 1))
    assert done.returncode == 3, done.stderr
    return done.stderr


def artifacts(root: Store) -> list[Path]:
    return sorted(Path(root.uri, found.key).parent for found in root.list() if found.key.endswith("record.json"))


def test_all_that_a_night_leaves_verifies(first):
    latest = read_latest(first)
    assert latest.night == FIRST and latest.set == f"nights/{FIRST}/set"
    of_night = (f"nights/{FIRST}/{name}" for name in ("audit", "evaluation", "report", "set"))
    places = [latest.data, latest.model, *of_night]
    assert [str(place.relative_to(first.uri)) for place in artifacts(first)] == places
    assert all(verify(open_store(str(place))).clean for place in artifacts(first))
    data, model = (json.loads(Path(first.uri, place, "record.json").read_text()) for place in places[:2])
    assert latest.data == f"data/{content_digest(data['recipe'], data['inputs']['marks'])}"
    assert latest.model == f"models/{model['recipe_digest']}"
    sets = json.loads(Path(first.uri, latest.set, "record.json").read_text())
    assert sets["metrics"]["lineage"] is None  # nobody knows whom the random base has seen
    assert f"Night {FIRST} passed its gate." in first.get("trend/index.html").decode()
    audit = json.loads(first.get(f"nights/{FIRST}/audit/audit.json"))
    assert latest.metrics.leaks == 0 and audit["verdict"] == latest.metrics.audit
    attacked = [test["reason"] for test in audit["tests"] if "membership" in test["name"]]
    assert attacked and not any("no model" in reason for reason in attacked)


def test_the_same_command_again_answers_at_once_and_another_recipe_is_refused(jobs, words, first, contents):
    before = contents(first.uri)
    done = jobs.run(*words(FIRST, *AUDITED))
    assert done.returncode == 0 and f"night {FIRST} passed its gate" in done.stdout and "note:" not in done.stderr
    done = jobs.run(*words(FIRST, *AUDITED, "--max-copy-rate", 0.5))
    assert done.returncode == 2 and "max_copy_rate 1.0 -> 0.5" in done.stderr
    assert contents(first.uri) == before


def test_a_failed_gate_leaves_latest_and_says_why(jobs, words, first, second):
    why = f"night {SECOND} failed its gate: prompt accuracy of the worst finding "
    assert why in second and f"at least 1 is allowed; latest is {FIRST}" in second
    assert read_latest(first).night == FIRST
    assert f"N{why[1:]}" in Path(first.uri, "nights", SECOND, "report", "index.html").read_text()
    assert [(night.date, night.passed, night.last) for night in read_nights(first)] == [
        (FIRST, True, ""), (SECOND, False, FIRST)
    ]  # fmt: skip
    done = jobs.run(*words(SECOND, "--min-prompt-accuracy", 1, "--keep", 1))
    assert done.returncode == 3 and why in done.stderr and "note:" not in done.stderr


def test_data_and_model_that_are_there_are_not_made_again(second):
    assert "generate into" in second and "evaluate into" in second
    assert "ingest into" not in second and "finetune into" not in second


def test_that_of_latest_is_not_removed_however_few_are_kept(first, second):
    assert "removed" not in second
    assert verify(open_store(f"{first.uri}/{read_latest(first).set}")).clean


def test_a_dead_holders_night_waits_for_its_lease_and_goes_on(jobs, words, first, second):
    job = jobs.start_job(*words(THIRD, "--keep", 1))
    await_object(job, first, f"nights/{THIRD}/set/plan.parquet")
    for process in [*psutil.Process(job.pid).children(recursive=True), job]:
        process.kill()
    job.communicate()
    refused = jobs.run(*words(THIRD, "--keep", 1))
    assert refused.returncode == 2 and f":{job.pid} is at work here since 20" in refused.stderr
    assert read_latest(first).night == FIRST
    let_run_out(first)
    done = jobs.run(*words(THIRD, "--keep", 1))
    assert done.returncode == 0 and "passed its gate, unaudited" in done.stdout, done.stderr
    assert read_latest(first).night == THIRD and read_latest(first).metrics.audit is None
    assert {place.parts[-2] for place in artifacts(first)} == {"data", "models", THIRD}  # --keep 1
    assert all(verify(open_store(str(place))).clean for place in artifacts(first))
    assert len(read_nights(first)) == 3


def test_a_run_that_was_overtaken_stops_and_cannot_commit(jobs, words, first):
    night = "2026-11-04"
    job = jobs.start_job(*words(night))
    await_object(job, first, f"nights/{night}/set/plan.parquet")
    before = read_latest(first)
    os.kill(job.pid, signal.SIGSTOP)
    let_run_out(first)
    other = take_lease(first, LENGTH)
    os.kill(job.pid, signal.SIGCONT)
    said = job.communicate(timeout=120)[1]
    other.end()
    assert job.returncode == 2 and "took the lease over" in said
    assert read_latest(first) == before


def await_object(job, root: Store, key: str) -> None:
    end = time.monotonic() + 240
    while not root.exists(key):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < end, f"no {key}"
        time.sleep(0.02)


def let_run_out(root: Store) -> None:
    """As if the holder had been silent for the length of its lease."""
    token = newest_token(root)
    claim = read_claim(root, token).model_copy(update={"until": datetime.now(UTC) - timedelta(seconds=1)})
    root.put(unit_key(LEASES, token), claim.json_bytes())
