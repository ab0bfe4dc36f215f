"""The cluster a job runs on: joining it, and what there is room for."""

import os
import platform
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import ray

from cxr.errors import BadInput

ACCELERATOR = "accelerator_type:"  # how Ray's resources name a kind of GPU
SECONDS_TO_ANSWER = 10
LEVEL_LINE = b"Set ray log level from environment variable"
STDERR = 2  # the process's, which Ray's C++ code writes to


@contextmanager
def session(cpus: int = 0, passing: int = 1) -> Iterator[None]:
    """The cluster that RAY_ADDRESS names (as under `ray job submit`), or else this machine alone.

    Alone, Ray is told of `passing` CPUs more than there are, or than the `cpus` that the makers will take together, for
    the stages that only pass units on: without one they would wait for the makers, and the makers for them.
    Until it ends, what is printed goes to stderr: Ray prints its own messages on stdout, and that is the job's answer.

    Raises:
        BadInput: nobody answers at RAY_ADDRESS, or Ray does not start here.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its notes on retries are not for users; ours are
    # After one second, as Ray has it, workers end between trials, and each trial waits for a new one and its imports.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):  # of the workers, which ask for the same large
        os.environ.setdefault(name, str(2**30))  # arrays in every step: glibc would give each back to the kernel
    quiet = {"log_to_driver": False, "logging_level": "error"}
    with redirect_stdout(sys.stderr):
        stop = signal.getsignal(signal.SIGTERM)
        if address := os.environ.get("RAY_ADDRESS"):
            check_answers(address)
            with without_level_line():
                ray.init(**quiet)
        else:
            with without_level_line():
                start_alone(max(os.cpu_count() or 1, cpus) + passing, quiet)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop)  # in whose place Ray has put one that ends the process at once
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def without_level_line() -> Iterator[None]:
    """Keeps from stderr the line in which Ray's C++ code says that it has read RAY_BACKEND_LOG_LEVEL, which it prints
    before the level counts. All else that comes meanwhile follows at the end, also where Ray does not start.
    """
    if sys.stderr is None:  # closed
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(STDERR)
    with tempfile.TemporaryFile() as said:  # no pipe: what Ray starts may go on writing to it
        os.dup2(said.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, STDERR)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if LEVEL_LINE not in line:
                    os.write(STDERR, line)


def check_answers(address: str) -> None:
    """`BadInput` if nobody listens there: Ray itself would try for minutes, and end with a traceback."""
    if address.startswith(("http://", "https://")):
        raise BadInput(f"RAY_ADDRESS {address}: takes submitted jobs; use jobs/submit.py, or give the head's host:port")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise BadInput(
            f"RAY_ADDRESS {address}: nobody answers ({error}); start the cluster, or unset it to use this machine alone"
        ) from None


def start_alone(cpus: int, options: dict[str, Any]) -> None:
    try:
        ray.init(address="local", include_dashboard=False, num_cpus=cpus, **options)
    except Exception as error:  # its kinds are many, and plain
        ray.shutdown()
        why = str(error).partition(". ")[0].partition("\n")[0]
        raise BadInput(
            f"Ray does not start on this machine ({why}); free CPUs and memory, then run this again"
        ) from error


def default_workers() -> int:
    """One for each GPU; without any, one for each CPU to spare."""
    return int(ray.cluster_resources().get("GPU", 0)) or spare_cpus()


def spare_cpus() -> int:
    """CPUs but the one for stages that only pass units on."""
    return max(1, sum(node_cpus()))


def threads_each(workers: int) -> int:
    """The most CPUs that each of so many workers can have; a worker is on one node."""
    cpus = node_cpus()
    return max((n for n in range(1, max(cpus) + 1) if room(cpus, n) >= workers), default=1)


def has_gpu() -> bool:
    return ray.cluster_resources().get("GPU", 0) > 0


def device() -> str:
    """The kinds of GPU that the cluster has, else its CPUs' kind. Ray knows without torch, which takes 2 s to load."""
    kinds = [name.removeprefix(ACCELERATOR) for name in ray.cluster_resources() if name.startswith(ACCELERATOR)]
    return ", ".join(sorted(kinds)) or f"CPU, {platform.machine()}"


def check_room(workers: int, threads: int, option: str = "--workers") -> None:
    """`BadInput` if there are too few CPUs, which would be waited for for ever. (GPUs may come with more machines.)"""
    most = room(node_cpus(), threads)
    if not has_gpu() and workers > most:
        raise BadInput(f"{option} {workers}: this cluster's CPUs have room for {most}; give fewer, or leave it out")


def room(cpus: list[int], threads: int) -> int:
    """Workers of so many threads that fit onto nodes with so many CPUs."""
    return sum(count // threads for count in cpus)


def node_cpus() -> list[int]:
    """The CPUs of each node, but for one of the largest's, which is for stages that only pass units on."""
    cpus = sorted(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    return [*cpus[:-1], cpus[-1] - 1]
