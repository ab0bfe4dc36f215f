"""A job's run in MLflow, with a stand-in for MLflow that keeps its runs in a file."""

import json
import queue
import sys
import time
from pathlib import Path

import pytest

from cxr.artifact import Artifact, Made, mlflow_process, tracking
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.errors import BadInput
from cxr.store import open_store

FAKE = '''
"""As much of MLflow as a run needs."""
import json, os, types
from pathlib import Path

class MlflowClient:
    def __init__(self):
        self.place = Path(os.environ["MLFLOW_TRACKING_URI"])
        if self.place.name == "down":
            raise OSError("no route to http://me:secret@server/api")
        self.runs = json.loads(self.place.read_text()) if self.place.exists() else {}
    def save(self):
        new = self.place.with_suffix(".new")
        new.write_text(json.dumps(self.runs))
        new.rename(self.place)
    def get_experiment_by_name(self, name): return types.SimpleNamespace(experiment_id=name)
    def search_runs(self, experiments, query):
        artifact = query.split("'")[1]
        return [types.SimpleNamespace(info=types.SimpleNamespace(run_id=i)) for i, run in self.runs.items()
                if run["experiment"] in experiments and run["tags"]["cxr.artifact"] == artifact]
    def create_run(self, experiment, tags, run_name):
        run_id = str(len(self.runs))
        self.runs[run_id] = {"experiment": experiment, "name": run_name, "tags": tags, "params": {}, "metrics": [],
                             "status": "RUNNING", "telemetry": os.environ["MLFLOW_DISABLE_TELEMETRY"]}
        self.save()
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id))
    def update_run(self, run_id, status): self.set_terminated(run_id, status)
    def set_terminated(self, run_id, status):
        print("View run at", flush=True)  # as MLflow does: to nobody where the job was killed
        self.runs[run_id]["status"] = status
        self.save()
    def get_metric_history(self, run_id, name):
        return [types.SimpleNamespace(step=step) for key, _, step in self.runs[run_id]["metrics"] if key == name]
    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        assert len(metrics) <= 1000 and len(params) <= 100
        run = self.runs[run_id]
        run["metrics"] += [[m.key, m.value, m.step] for m in metrics]
        run["params"] |= {p.key: p.value for p in params}
        run["tags"] |= {t.key: t.value for t in tags}
        self.save()
'''
ENTITIES = """
from collections import namedtuple
Metric = namedtuple("Metric", "key value timestamp step")
Param = namedtuple("Param", "key value")
RunTag = namedtuple("RunTag", "key value")
"""
RECIPE = {"rank": 16, "sampler": {"steps": 3}, "source": "folder:/home/me/x", "words": "http://me:secret@host/"}
METRICS = {
    "validation": {"mse": 0.25}, "test": None, "collapsed": False, "patients_seen": ["patient7"], "answer": "Helps.",
    "summary": ["Found.", "see /home/me/x"],
}  # fmt: skip


class Drawing(Artifact):
    kind = FINE_TUNED_MODEL


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The stand-in is what the process imports; returns what reads all runs."""
    (tmp_path / "lib/mlflow").mkdir(parents=True)
    (tmp_path / "lib/mlflow/__init__.py").write_text(FAKE)
    (tmp_path / "lib/mlflow/entities.py").write_text(ENTITIES)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "runs.json"))
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    place = tmp_path / "runs.json"
    yield lambda: list(json.loads(place.read_text()).values()) if place.exists() else []
    for name in ("mlflow", "mlflow.entities"):
        sys.modules.pop(name, None)


def make(place: Path, steps: range, recipe: dict = RECIPE, error: Exception | None = None) -> None:
    artifact = Drawing(open_store(str(place)), recipe)

    def work():
        for step in steps:
            tracking.report({"loss": 1 / (step + 1)}, step, "final/")
        if error:
            raise error
        stored = artifact.store.put("a.txt", b"a")
        return artifact.new_record(Made.of([stored]), [stored], METRICS, inputs={"data": "d" * 64}, device="cpu")

    artifact.make(work)


def test_a_run_holds_recipe_inputs_and_metrics_and_neither_patients_nor_places(runs, tmp_path):
    make(tmp_path / "secret_place", range(3))
    (run,) = runs()
    assert run["experiment"] == "cxr" and run["status"] == "FINISHED" and run["telemetry"] == "true"
    hidden = tracking.HIDDEN
    assert run["params"] == {
        "rank": "16", "sampler.steps": "3", "source": hidden, "words": hidden, "inputs.data": "d" * 64,
    }  # fmt: skip
    logged = {(name, step): value for name, value, step in run["metrics"]}
    assert logged == {
        **{("final/loss", step): 1 / (step + 1) for step in range(3)}, ("validation.mse", 0): 0.25,
        ("collapsed", 0): 0.0, ("made.count", 0): 1.0, ("made.bytes", 0): 1.0,
    }  # fmt: skip
    assert run["tags"]["mlflow.note.content"] == "Helps.\n\nFound."
    assert run["tags"]["version.python"].startswith("3.")
    assert not any(word in json.dumps(run) for word in ("patient7", "/home", "secret", str(tmp_path)))


def test_what_failed_and_goes_on_is_the_same_run_and_no_step_stands_in_it_twice(runs, tmp_path):
    with pytest.raises(BadInput):
        make(tmp_path / "a", range(5), error=BadInput("stopped"))
    wait_until(lambda: [run["status"] for run in runs()] == ["FAILED"])  # a job that is stopped does not wait for it
    make(tmp_path / "a", range(2, 8))
    make(tmp_path / "b", range(2))
    make(tmp_path / "c", range(2), RECIPE | {"rank": 2})
    steps = [[step for name, _, step in run["metrics"] if name == "final/loss"] for run in runs()]
    assert steps == [list(range(8)), [0, 1], [0, 1]]
    assert [run["status"] for run in runs()] == ["FINISHED"] * 3


def test_a_job_that_is_killed_leaves_a_run_that_says_so(runs, tmp_path):
    process = tracking.start_process()
    print(json.dumps({"artifact": "a", "name": "n"}), file=process.stdin, flush=True)
    process.stdin.close()  # as the system does for a process that it kills
    process.stdout.close()
    wait_until(lambda: [run["status"] for run in runs()] == ["KILLED"])


def wait_until(condition) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


def test_a_server_that_is_down_costs_one_line_which_tells_no_password(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "down"))
    make(tmp_path / "a", range(3))
    said = capsys.readouterr().err
    assert said == (
        "note: MLflow cannot be reached or refuses (OSError: no route to http://server/api); the job goes on\n"
    )
    assert (tmp_path / "a/record.json").exists()


def test_a_server_that_comes_back_gets_what_it_missed(runs, tmp_path, monkeypatch, capfd):
    tries = iter([OSError("away"), OSError("away")])

    class Flaky(mlflow_process.ArtifactRun):
        def log(self, messages):
            super().log(messages)  # it arrives, and the answer is lost
            if error := next(tries, None):
                raise error

    for name in ("SECONDS_BETWEEN", "FIRST_PAUSE"):
        monkeypatch.setattr(mlflow_process, name, 0.01)
    monkeypatch.setattr(mlflow_process, "ArtifactRun", Flaky)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    messages: queue.SimpleQueue = queue.SimpleQueue()
    for step in range(1500):
        messages.put({"metrics": {"loss": 1.0}, "step": step, "at": 0})

    monkeypatch.setattr(mlflow_process, "take", last_after(messages, 4))
    assert mlflow_process.log_all({"artifact": "a", "name": "n"}, messages)
    assert [step for _, _, step in runs()[0]["metrics"]] == list(range(1500))
    assert runs()[0]["status"] == "FINISHED"
    assert capfd.readouterr().out.count("away") == 1


def last_after(messages, turns: int):
    """`take`, with a last message after so many turns."""
    take, count = mlflow_process.take, iter(range(turns))

    def taken(queued, seconds):
        if next(count, None) is None:
            messages.put({"status": "FINISHED"})
        return take(queued, seconds)

    return taken


def test_nothing_happens_where_no_server_is_named_and_one_line_where_mlflow_is_missing(
    runs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    make(tmp_path / "a", range(1))
    assert capsys.readouterr().err.startswith("note: MLFLOW_TRACKING_URI is set, but mlflow is not installed: pip ")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(tracking, "start_process", lambda: pytest.fail("a process for nothing"))
    make(tmp_path / "b", range(1))
    assert capsys.readouterr().err == ""
