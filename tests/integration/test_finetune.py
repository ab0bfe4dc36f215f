"""The fine-tuning job as users run it: Ray Train on this machine, a folder and a real S3 server."""

import importlib.util
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from cxr.errors import BadInput

STEPS, EVERY = 8, 4
QUICK = ("--max-train-steps", STEPS, "--validate-every", EVERY, "--size", 64, "--batch", 4)
QUICK += ("--sampling-steps", 3, "--validation-images", 4, "--test-images", 4)
TRACKED = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MLFLOW_EXPERIMENT_NAME": "tests"}


@pytest.fixture(scope="module")
def words(jobs, real_set):
    """`words(out, ...)`: the command of a quick run on the random model."""
    return lambda out, *more: (
        "finetune.py",
        "tiny",
        "--data",
        real_set,
        "--out",
        out,
        "--model",
        jobs.model,
        *QUICK,
        *more,
    )


@pytest.fixture(scope="module")
def lora(jobs, words, tmp_path_factory) -> Path:
    """What an undisturbed worker leaves, of a base that is given by a path from here. For reading only."""
    place = tmp_path_factory.mktemp("lora") / "model"
    (place.parent / "my-model").symlink_to(jobs.model)
    watched = ("--tensorboard", place.parent / "curves") if importlib.util.find_spec("tensorboard") else ()
    given = ["my-model" if word == jobs.model else word for word in words(place, *watched)]
    done = jobs.run(*given, cwd=place.parent, env=TRACKED)  # Ray Train's workers have another working folder
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("best mse ") and f"look at {place}/curves.png" in done.stdout
    assert "note: the kept model is tested on " in done.stderr
    return place


def losses(place: Path, run: str = "final") -> list[float]:
    rows = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["run"] == run]
    assert [row["step"] for row in rows] == list(range(len(rows)))  # every step once
    return [row["loss"] for row in rows[1:]]


def test_a_lora_is_left_that_generate_takes(jobs, shared_ray, lora, real_set, tmp_path):
    assert jobs.verify(lora).returncode == 0
    record = json.loads((lora / "record.json").read_text())
    assert set(record["metrics"]["validation"]) == set(record["metrics"]["test"]) == {"mse", "ssim", "psnr", "kid"}
    patients = {
        row["patient_id"] for row in pq.read_table(real_set / "catalog.parquet").to_pylist() if row["split"] != "test"
    }
    assert record["metrics"]["lineage"] is None  # nobody knows whom the random base has seen
    assert not any(patient in (lora / "record.json").read_text() for patient in patients)
    words = jobs.words(tmp_path / "set", "--lora", lora, "--findings", "normal", "--per-finding", 2, "--steps", 2)
    assert jobs.call(*words).returncode == 0
    applied = json.loads((tmp_path / "set" / "record.json").read_text())["metrics"]["lora"]
    assert applied["rank"] == 16 and min(applied["layers"].values()) > 3


def test_the_same_command_again_finishes_at_once_and_another_is_refused(jobs, words, lora):
    assert "already there: step " in jobs.call(*words(lora)).stdout
    with pytest.raises(BadInput, match=r"another recipe's artifact \(rank 16 -> 2\)"):
        jobs.call(*words(lora, "--rank", 2))


def test_tensorboard_shows_the_figures_of_the_history(lora):
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard: pip install tensorboard"
    )
    shown = events.EventAccumulator(str(lora.parent / "curves" / "final")).Reload()
    rows = [json.loads(line) for line in (lora / "history.jsonl").read_text().splitlines()]
    names = {name for row in rows for name in row} - {"run", "step"}
    assert set(shown.Tags()["scalars"]) == names >= {"loss", "mse", "ssim", "psnr", "kid"}
    for name in names:
        told = {row["step"]: row[name] for row in rows if name in row}
        assert {event.step: event.value for event in shown.Scalars(name)} == pytest.approx(told, rel=1e-6)


def tracked_run(folder: Path):
    """The one run in MLflow's store of the folder, and the metrics that it has of each step."""
    mlflow = pytest.importorskip("mlflow", reason="no mlflow: pip install 'cxr[mlflow]'")
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    curves = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return run, {name: [(point.step, point.value) for point in points] for name, points in curves.items()}


def wait_until_killed(folder: Path) -> None:
    """The job is gone; what writes its run says so in its own time."""
    deadline = time.monotonic() + 60
    while tracked_run(folder)[0].info.status != "KILLED":
        assert time.monotonic() < deadline
        time.sleep(1)


def test_mlflow_has_the_recipe_the_inputs_and_the_history_and_no_place(lora, real_set):
    run, curves = tracked_run(lora.parent)
    record = json.loads((lora / "record.json").read_text())
    assert run.info.status == "FINISHED" and run.data.params["learning_rate"] == str(record["recipe"]["learning_rate"])
    assert run.data.params["inputs.data"] == record["inputs"]["data"]
    assert run.data.metrics["validation.mse"] == record["metrics"]["validation"]["mse"]
    rows = [json.loads(line) for line in (lora / "history.jsonl").read_text().splitlines()]
    for name in ("loss", "mse", "kid"):
        assert curves[f"final/{name}"] == [(row["step"], row[name]) for row in rows if name in row]
    assert not any(str(place) in str(run) for place in (lora, real_set, "my-model"))


@pytest.mark.slow
def test_a_killed_driver_goes_on_from_the_last_checkpoint_with_the_same_curve(jobs, words, lora, contents, tmp_path):
    place = tmp_path / "model"
    tracked = TRACKED | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    job = jobs.start_job(*words(place), env=tracked)
    wait_for(job, lambda: (place / "checkpoints" / "final.json").exists())
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert not (place / "record.json").exists()
    wait_until_killed(tmp_path)
    done = jobs.run(*words(place), env=tracked)
    assert done.returncode == 0, done.stderr
    run, curves = tracked_run(tmp_path)
    assert run.info.status == "FINISHED" and [value for _, value in curves["final/loss"]] == losses(place)
    assert losses(place) == losses(lora)
    ours, theirs = contents(place), contents(lora)
    assert ours.keys() == theirs.keys()
    weights = "pytorch_lora_weights.safetensors"
    assert ours[weights] == theirs[weights]


@pytest.mark.slow
def test_a_bad_learning_rate_stops_with_the_step_and_keeps_the_checkpoint(jobs, words, tmp_path):
    place = tmp_path / "model"
    rates = ("--method", "dreambooth", "--learning-rate", 1, "--max-train-steps", 60, "--validate-every", 1)
    done = jobs.run(*words(place, *rates))
    assert done.returncode == 2, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("finetune.py: step ") and "lower --learning-rate" in said
    assert (place / "checkpoints" / "final.json").exists() and not (place / "record.json").exists()


@pytest.mark.slow
def test_folds_prior_and_every_weight(jobs, words, tmp_path):
    place = tmp_path / "model"
    more = ("--method", "dreambooth", "--folds", 2, "--prior-weight", 1, "--captions", "instance")
    done = jobs.run(*words(place, *more, "--train-text-encoder", True), env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.returncode == 0, done.stderr
    for fold in ("fold1", "fold2"):
        (folder,) = (path for path in (place / "folds").glob(f"best_model_{fold}_epoch*") if path.is_dir())
        assert (folder / "model_index.json").is_file() and folder.with_suffix(".zip").is_file()
        assert len(losses(place, fold)) == STEPS
    card = (place / "README.md").read_text()
    assert "mean (sd) of 2 folds" in card and "Each fold is scored by the checkpoint that did best on it" in card
    assert jobs.verify(place).returncode == 0
    words = ("generate.py", "tiny", "--model", place, "--out", tmp_path / "set", "--size", 64, "--steps", 2)
    done = jobs.run(*words, "--findings", "normal", "--per-finding", 2)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_workers_one_of_them_killed_follow_the_same_curve(jobs, words, lora, tmp_path):
    place = tmp_path / "model"
    job = jobs.start_job(*words(place, "--workers", 2))
    wait_for(job, lambda: (place / "checkpoints" / "final.json").exists())
    workers = [p for p in psutil.Process(job.pid).children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline())]
    os.kill(workers[-1].pid, signal.SIGKILL)
    _, said = job.communicate()
    assert job.returncode == 0, said
    assert losses(place) == pytest.approx(losses(lora), rel=1e-3)


@pytest.mark.slow
def test_into_a_bucket_the_same_curve(s3, jobs, words, lora):
    bucket = s3.make_bucket()
    done = jobs.run(*words(f"s3://{bucket}/model"), env=s3.env)
    assert done.returncode == 0, done.stderr
    assert jobs.verify(f"s3://{bucket}/model").returncode == 0


def wait_for(job, happened) -> None:
    while not happened():
        assert job.poll() is None, job.communicate()
        time.sleep(0.05)
