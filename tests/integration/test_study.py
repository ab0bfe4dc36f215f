"""The study job as users run it: every arm, crashes, a bucket, and what it leaves for a reader."""

import html
import importlib
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from cxr import cli
from cxr.errors import BadInput
from cxr.store import open_store
from cxr.study.results import read_trial, trial_key

SMALL = ("--size", 32, "--resize", 32, "--epochs", 2, "--batch", 16, "--seeds", "1,2")
ARMS, SEEDS = 9, 2


@pytest.fixture(scope="module")
def words(study_sets):
    real, fake = study_sets
    return "study.py", "tiny", "--real", real, "--synthetic", fake, "--allow-unchecked-copies", *SMALL


@pytest.fixture(scope="module")
def study(jobs, shared_ray, words, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("study") / "out"
    done = jobs.call(*words, "--out", place, "--selection-bias")
    assert "Of phantoms, which say nothing about patients:" in done.stdout
    assert f"look at {place}/index.html" in done.stdout
    return place


def scores(place: Path | str, recipe: str) -> dict[str, list[list[float]]]:
    """What every trial said of the test pictures."""
    store = open_store(str(place))
    keys = sorted(key for key, _ in store.list("trials/"))
    return {key: read_trial(store, key, recipe).scores for key in keys}


def digest(place: Path) -> str:
    return json.loads((place / "record.json").read_text())["recipe_digest"]


def test_every_arm_with_every_seed_is_told_and_all_verifies(jobs, study):
    found = json.loads((study / "results.json").read_text())
    arms = found["arms"]
    assert len(arms) == ARMS and all(arm["seeds"] == [1, 2] and not arm["failed"] for arm in arms)
    assert found["phantom"] and found["train"] == {"normal": 42, "pneumonia": 42}
    assert "nobody looked for copies" in found["allowed"][0]
    one = {arm["arm"]: (arm["real"], arm["synthetic"]) for arm in arms}
    assert one["baseline"] == (84, 0) and one["limited_10"] == (9, 84) and one["synth_only"] == (0, 84)
    (steps,) = {curve[-1]["step"] for arm in arms for curve in arm["curves"].values() if "short" not in arm["arm"]}
    assert steps == 11  # 2 epochs of 84 pictures in batches of 16, whatever the arm
    short = {arm["arm"]: arm["curves"]["1"][-1]["step"] for arm in arms if "short" in arm["arm"]}
    assert short == {"real_short_67": 7, "real_short_50": 6}
    assert arms[0]["optimism"] is not None
    page = html.unescape((study / "index.html").read_text()).replace("\u00a0", " ")
    assert "Every setting of: study" in page and "weight_decay" in page
    assert (found["primary"], found["sources"][1]["arms"][0]) == ("synth_100", "synth_50")
    assert any("Only one generator run stands behind the set 'synthetic'" in note for note in found["notes"])
    assert all(line in page for line in found["details"])
    assert found["answer"] in page and "Let pass on request" in page and "no number on this page says anything" in page
    assert jobs.verify(study).returncode == 0


def test_the_same_command_again_finishes_at_once_and_another_is_refused(jobs, words, study, contents):
    before = contents(study)
    done = jobs.call(*words, "--out", study, "--selection-bias")
    assert done.returncode == 0 and done.stdout.startswith("already there")
    with pytest.raises(BadInput, match=r"another recipe's artifact \(selection_bias true -> false"):
        jobs.call(*words, "--out", study)
    assert contents(study) == before


def test_what_is_not_allowed_is_refused_and_nothing_is_written(jobs, words, tmp_path):
    with pytest.raises(BadInput, match="nobody looked for copies") as refused:
        jobs.call(*[word for word in words if word != "--allow-unchecked-copies"], "--out", tmp_path / "out")
    assert "\n" not in str(refused.value) and not (tmp_path / "out").exists()


def test_why_trials_failed_is_told_where_no_report_can_be_made(words, tmp_path, monkeypatch, capsys):
    job = importlib.import_module("cxr.jobs.study")
    monkeypatch.setattr(
        job, "run_trials", lambda ready, args: {"baseline/1": "BadInput: step 3: the loss is no number"}
    )
    with pytest.raises(BadInput, match="arm baseline: every trial failed"):
        job.main(cli.parse(job.Args, [*map(str, words[1:]), "--out", str(tmp_path / "out")]))
    assert "trial baseline/1 failed: BadInput: step 3" in capsys.readouterr().err


@pytest.mark.slow
def test_an_arm_of_a_users_own_file(jobs, study_sets, tmp_path):
    arms = tmp_path / "arms.toml"
    arms.write_text('[[arm]]\nname = "thrice"\nrepeat = 3\n')
    words = ("study.py", "findings10", "--real", study_sets[0], "--network", "cnn", *SMALL, "--arms", arms)
    done = jobs.run(*words, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    arms = json.loads((tmp_path / "out" / "results.json").read_text())["arms"]
    assert [arm["arm"] for arm in arms] == ["baseline", "thrice"]
    assert arms[0]["classes"][0]["finding"] == "normal" and np.sum(arms[0]["confusion"]) == 24 * SEEDS


@pytest.mark.slow
def test_an_arm_takes_a_set_of_its_own(jobs, study_sets, tmp_path):
    real, fake = study_sets
    own = tmp_path / "own"
    words = ("generate.py", "tiny", "--findings", "normal,pneumonia", "--per-finding", 42, "--size", 64, "--steps", 2)
    done = jobs.run(*words, "--out", own)
    assert done.returncode == 0, done.stderr
    sets = ("--real", real, "--synthetic", f"limited_10={own}", "--synthetic", fake, "--allow-unchecked-copies")
    words = ("study.py", "limited", *sets, "--network", "cnn", "--pretrained", "False", *SMALL)
    done = jobs.run(*words, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    sources = {source["name"]: (source["uri"], source["arms"]) for source in found["sources"]}
    assert sources["synthetic of limited_10"] == (str(own), ["limited_10"])
    assert sources["synthetic"] == (str(fake), ["limited_25"]) and found["primary"] == "limited_10"
    assert sum("Only one generator run" in note for note in found["notes"]) == 2
    done = jobs.run(*words, "--synthetic", f"limited_10={fake}", "--out", tmp_path / "other")
    assert done.returncode == 2 and "limited_10 would have two sets" in done.stderr


@pytest.mark.slow
def test_trials_share_the_features_of_a_frozen_network(jobs, study_sets, tmp_path):
    from transformers import Dinov2Config, Dinov2Model

    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 518}
    Dinov2Model(Dinov2Config(**shape, initializer_range=0.3)).save_pretrained(tmp_path / "dino")
    real, fake = study_sets
    words = ("study.py", "rad_dino_probe", "--real", real, "--synthetic", fake, "--allow-unchecked-copies",
             "--weights", tmp_path / "dino", "--size", 56, "--resize", 56, "--only", "synth_100", "--epochs", 2,
             "--batch", 16, "--seeds", "1,2", "--out", tmp_path / "out")  # fmt: skip
    done = jobs.run(*words)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["settings"]["classifier"].startswith("rad-dino, frozen: a linear layer")
    assert all(arm["seeds"] == [1, 2] and not arm["failed"] for arm in found["arms"])
    assert not list((tmp_path / "out").glob("commits/**/*.npy"))  # swept when the study was there
    assert jobs.run("verify.py", tmp_path / "out").returncode == 0


@pytest.mark.slow
def test_a_killed_driver_repeats_no_finished_trial(jobs, words, study, tmp_path):
    place = tmp_path / "out"
    job = jobs.start_job(*words, "--out", place, "--selection-bias")
    end = time.monotonic() + 300
    while len(done := list(place.glob("trials/*/*/result.json"))) < 4:
        assert job.poll() is None and time.monotonic() < end, job.communicate()
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    kept = {path: path.stat().st_mtime_ns for path in done}
    assert not (place / "record.json").exists()
    again = jobs.run(*words, "--out", place, "--selection-bias")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert scores(place, digest(study)) == scores(study, digest(study))


@pytest.mark.slow
def test_from_bucket_to_bucket_the_same_scores(s3, jobs, words, study_sets, study):
    bucket = f"s3://{s3.make_bucket()}"
    for name, folder in zip(("real", "fake"), study_sets, strict=True):
        store = open_store(f"{bucket}/{name}")
        for path in folder.rglob("*"):
            if path.is_file():
                store.put(path.relative_to(folder).as_posix(), path.read_bytes())
    moved = {study_sets[0]: f"{bucket}/real", study_sets[1]: f"{bucket}/fake"}
    done = jobs.run(
        *(moved.get(word, word) for word in words), "--selection-bias", "--out", f"{bucket}/out", env=s3.env
    )
    assert done.returncode == 0, done.stderr
    assert scores(f"{bucket}/out", digest(study)) == scores(study, digest(study))
    assert jobs.verify(f"{bucket}/out").returncode == 0


@pytest.mark.slow
def test_two_workers_train_a_trial_together(jobs, study_sets, tmp_path):
    words = ("study.py", "findings10", "--real", study_sets[0], "--network", "cnn", *SMALL[:-1], 1)
    done = jobs.run(*words, "--workers-per-trial", 2, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    store = open_store(str(tmp_path / "out"))
    assert read_trial(store, trial_key("baseline", 1), digest(tmp_path / "out")).steps == 11


@pytest.mark.slow
def test_a_result_of_another_recipe_is_refused_and_one_that_is_gone_is_made_again(jobs, words, study, tmp_path):
    place = tmp_path / "out"
    for path in study.rglob("*"):
        if path.is_file() and path.name != "record.json":
            (place / path.relative_to(study)).parent.mkdir(parents=True, exist_ok=True)
            (place / path.relative_to(study)).write_bytes(path.read_bytes())
    broken = place / trial_key("synth_50", 2)
    told = json.loads(broken.read_text())
    broken.write_text(json.dumps({**told, "recipe": "another"}))
    done = jobs.run(*words, "--out", place, "--selection-bias")
    assert done.returncode == 2 and "synth_50/2/result.json is a result of another recipe" in done.stderr
    broken.unlink()
    done = jobs.run(*words, "--out", place, "--selection-bias")
    assert done.returncode == 0, done.stderr
    assert scores(place, digest(study)) == scores(study, digest(study))
