"""Logs one artifact's run in MLflow; a process of its own, which `cxr/artifact/tracking.py` starts and writes to.

Each line of the standard input is a JSON object of some of these: `artifact` and `name` (the first line), `parameters`,
`tags`, `metrics` with `step` and `at` (milliseconds since 1970), `status` (the last one). An input that ends without a
status is of a job that was killed. What a user should know is written to the standard output, a line each.
"""

import contextlib
import json
import os
import queue
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

SECONDS_BETWEEN = 1.0  # two batches
MOST_METRICS, MOST_PARAMETERS = 900, 90  # in a batch; MLflow takes 1000 and 100
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds until a server that failed is tried again
LONGEST_END = 120.0  # seconds that this process lives on after the job
ARTIFACT = "cxr.artifact"  # the tag that a run is found by


class ArtifactRun:
    """The run of an artifact: the one that bears its tag, or a new one."""

    def __init__(self, artifact: str, name: str) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient()
        experiment = self.find_experiment()
        found = self.client.search_runs([experiment], f"tags.`{ARTIFACT}` = '{artifact}'")
        if found:
            self.id = found[0].info.run_id
            self.client.update_run(self.id, status="RUNNING")
        else:
            self.id = self.client.create_run(experiment, tags={ARTIFACT: artifact}, run_name=name).info.run_id
        self.reached: dict[str, int] = {}  # the last step of each metric that is logged

    def find_experiment(self) -> str:
        if known := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return known
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "cxr")
        if found := self.client.get_experiment_by_name(name):
            return found.experiment_id
        try:
            return self.client.create_experiment(name)
        except Exception:  # another job was first
            if found := self.client.get_experiment_by_name(name):
                return found.experiment_id
            raise

    def log(self, messages: list[dict[str, Any]]) -> None:
        """May be called with the same messages again."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [
            Metric(name, value, message["at"], message["step"])
            for message in messages
            for name, value in message.get("metrics", {}).items()
            if message["step"] > self.last_step(name)
        ]
        parameters = [Param(*item) for message in messages for item in message.get("parameters", {}).items()]
        tags = [RunTag(*item) for message in messages for item in message.get("tags", {}).items()]
        for start in range(0, len(metrics), MOST_METRICS):
            batch = metrics[start : start + MOST_METRICS]
            self.client.log_batch(self.id, metrics=batch)
            self.reached |= {metric.key: metric.step for metric in batch}
        for start in range(0, max(len(parameters), len(tags)), MOST_PARAMETERS):
            part = slice(start, start + MOST_PARAMETERS)
            self.client.log_batch(self.id, params=parameters[part], tags=tags[part])
        for message in messages:
            if status := message.get("status"):
                self.client.set_terminated(self.id, status)

    def last_step(self, name: str) -> int:
        if name not in self.reached:
            history = self.client.get_metric_history(self.id, name)
            self.reached[name] = max((metric.step for metric in history), default=-1)
        return self.reached[name]


def log_all(first: dict[str, Any], messages: "queue.SimpleQueue[dict[str, Any]]") -> bool:
    """Logs until the last message; whether all was logged. What a server does not take is kept and tried again."""
    waiting, run, pause, ended = [first], None, 0.0, False
    while waiting or not ended:
        waiting += take(messages, max(SECONDS_BETWEEN, pause))
        ended = any("status" in message for message in waiting)
        try:
            run = run or ArtifactRun(first["artifact"], first["name"])
            run.log(waiting)
            waiting, pause = [], 0.0
        except Exception as error:
            if not pause:
                say(describe(error))
            if ended:
                return False
            if run:
                run.reached.clear()  # a batch can have arrived all the same
            pause = min(max(FIRST_PAUSE, 2 * pause), LONGEST_PAUSE)
    return True


def listen(messages: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Takes the lines at once: the job never waits for a server. After the last one there is not all the time."""
    ended = False
    for line in sys.stdin:
        message = json.loads(line)
        ended = ended or "status" in message
        messages.put(message)
    if not ended:
        messages.put({"status": "KILLED"})
    time.sleep(LONGEST_END)
    os._exit(1)


def take(messages: "queue.SimpleQueue[dict[str, Any]]", seconds: float) -> list[dict[str, Any]]:
    """What comes within so many seconds; at once where the job has ended."""
    taken: list[dict[str, Any]] = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            taken.append(messages.get(timeout=left))
        except queue.Empty:
            break
        if "status" in taken[-1]:
            break
    return taken


def say(line: str) -> None:
    """To the job, unless it was killed."""
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.__stdout__, flush=True)


def describe(error: Exception) -> str:
    """One line without the name and the password that an address can hold."""
    text = re.sub(r"//[^/\s]*@", "//", " ".join(str(error).split()))
    return f"MLflow cannot be reached or refuses ({type(error).__name__}: {text[:200]}); the job goes on"


if __name__ == "__main__":
    header, heard = json.loads(sys.stdin.readline()), queue.SimpleQueue[dict[str, Any]]()
    threading.Thread(target=listen, args=(heard,), daemon=True).start()
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # MLflow prints addresses there
        everything = log_all(header, heard)
    sys.exit(not everything)
