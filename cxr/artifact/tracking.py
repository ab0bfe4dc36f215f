"""Each artifact in the making as a run in MLflow, where `MLFLOW_TRACKING_URI` is set; nothing where it is not.

MLflow lives in a process of its own (`mlflow_process.py`), which hears what to log, a line of JSON each. So a server
that is down, slow or wrong costs the job one line of warning, and a job that is killed leaves a run that says so.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from cxr.artifact.public_text import names_place
from cxr.artifact.record import Record, library_versions
from cxr.progress import note

SECONDS_TO_END = 60.0  # that a finished job waits for what is not logged yet; one that is stopped does not wait
ENOUGH_FOR_A_SERVER = {  # of MLflow's own settings, which would try for minutes, and tell its makers how it is used
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
LONGEST = 6000  # characters of a parameter's value, and the most that MLflow takes
HIDDEN = "(names a place)"
FOUND = ("answer", "verdict", "summary")  # what a record says in words
_running: list["Run"] = []  # in this process; a job can make one artifact within another


class Run:
    """The run of one artifact.

    Args:
        process: hears what to log from its standard input, and tells its standard output what a user should know; None:
            nothing is logged.
    """

    def __init__(self, process: subprocess.Popen[str] | None) -> None:
        self.process = process
        self.listener = threading.Thread(target=pass_on, args=(process.stdout,), daemon=True) if process else None
        if self.listener:
            self.listener.start()

    def send(self, **message: Any) -> None:
        """A process that has ended, and said why, misses it."""
        if self.process and self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(message), file=self.process.stdin, flush=True)

    def log(self, metrics: Mapping[str, float], step: int = 0, prefix: str = "") -> None:
        """A step that was logged already, before a job was killed and went on, is not logged again."""
        named = {metric_name(prefix + name): value for name, value in numbers(metrics).items()}
        self.send(metrics=named, step=step, at=round(time.time() * 1000))

    def conclude(self, record: Record) -> None:
        """What the finished artifact's record says."""
        metrics = numbers({**record.metrics, "seconds": record.timings})
        words = [f"{record.metrics[name]}" for name in FOUND if isinstance(record.metrics.get(name), str)]
        words += [line for name in FOUND if isinstance(lines := record.metrics.get(name), list) for line in lines]
        made = {"made.count": record.made.count, "made.bytes": record.made.bytes}
        self.log({**metrics, **made})
        self.send(
            parameters=as_parameters({"inputs": record.inputs, "seeds": record.seeds}),
            tags={
                "cxr.made": record.made.digest,
                "cxr.device": record.device,
                "mlflow.note.content": "\n\n".join(line for line in words if not names_place(line)),
            },
        )

    def end(self, status: str, seconds: float = 0) -> None:
        """Returns once all is logged, or after so many seconds: the process goes on for as long as it needs."""
        if self.process is None or self.process.stdin is None or self.listener is None:
            return
        self.send(status=status)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.listener.join(seconds)
        if seconds and self.listener.is_alive():
            note(f"MLflow: not all is logged after {seconds:.0f} s; the job is done and does not wait for it")


@contextlib.contextmanager
def track(kind: str, recipe: dict[str, Any], digest: str, uri: str) -> Iterator[Run]:
    """The run of an artifact while it is made: always the same one for the same recipe and place, also after a kill.

    Args:
        digest: of the recipe.
        uri: where the artifact is made; the run says no more of it than a digest.
    """
    run = Run(start_process() if os.environ.get("MLFLOW_TRACKING_URI") else None)
    run.send(
        artifact=hashlib.sha256(f"{kind} {digest} {uri}".encode()).hexdigest()[:32],
        name=f"{kind} {digest[:8]}",
        parameters=as_parameters(recipe),
        tags={"cxr.kind": kind, "cxr.recipe": digest}
        | {f"version.{name}": version for name, version in library_versions().items()},
    )
    _running.append(run)
    try:
        yield run
    except BaseException as error:
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    else:
        run.end("FINISHED", SECONDS_TO_END)
    finally:
        _running.remove(run)


def report(metrics: Mapping[str, float], step: int, prefix: str = "") -> None:
    """Logs what is known after a step of the artifact that is being made."""
    if _running:
        _running[-1].log(metrics, step, prefix)


def start_process() -> subprocess.Popen[str] | None:
    """In a session of its own: it outlives Ctrl-C, and the job's death, by the moments that it needs to say so."""
    if importlib.util.find_spec("mlflow") is None:
        note("MLFLOW_TRACKING_URI is set, but mlflow is not installed: pip install 'cxr[mlflow]'; going on without")
        return None
    return subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("mlflow_process.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
        env=ENOUGH_FOR_A_SERVER | os.environ, start_new_session=True,
    )  # fmt: skip


def pass_on(lines: IO[str]) -> None:
    for line in lines:
        note(line.strip())


def as_parameters(recipe: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Each leaf of the recipe under its dotted name, without what names a place of this machine."""
    flat: dict[str, str] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            flat |= as_parameters(value, f"{path}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[metric_name(path + name)] = HIDDEN if names_place(text) else text[:LONGEST]
    return flat


def numbers(metrics: Mapping[str, Any], path: str = "") -> dict[str, float]:
    """Each number under its dotted name; no list, because lists are of patients, sources and words."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= numbers(value, f"{path}{name}.")
        elif isinstance(value, int | float):
            flat[path + name] = float(value)
    return flat


def metric_name(name: str) -> str:
    """As MLflow takes it."""
    return re.sub(r"[^\w\-./ ]", "_", name)[:250]
