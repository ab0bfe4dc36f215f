"""The cluster a job runs on: joining it, and what there is room for."""

import os
import platform
import re
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from subprocess import PIPE, Popen
from typing import Any

import ray
from ray.exceptions import OutOfDiskError

from cxr.cluster.watch import watch_head
from cxr.errors import BadInput, StoreError, disk_full

ACCELERATOR = "accelerator_type:"  # how Ray's resources name a kind of GPU
SECONDS_TO_ANSWER = 10
LEVEL_LINE = "Set ray log level from environment variable"
START_AGAIN = "start it again (`ray stop`, then `ray start`), or unset it to use this machine alone"
STDERR = 2  # the process's, which Ray's C++ code writes to


@contextmanager
def session(cpus: int = 0, spare_cpus: int = 1) -> Iterator[None]:
    """The cluster that RAY_ADDRESS names (as under `ray job submit`), or else this machine alone. Where this process
    is in a cluster already, as a notebook that has called `ray.init`, it is that one, which stays as it was.

    Alone, Ray is given `spare_cpus` CPUs more than there are, or than the `cpus` that the workers will take together,
    for the stages that only pass units on: without one they would wait for the workers, and the workers for them.
    Until it ends, what is printed goes to stderr: Ray prints its own messages on stdout, and that is the job's answer.

    Raises:
        BadInput: nobody answers at RAY_ADDRESS, or Ray does not start here.
    """
    if ray.is_initialized():
        with redirect_stdout(sys.stderr):
            yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its notes on retries are not for users; ours are
    # After one second, as Ray has it, workers end between trials, and each trial waits for a new one and its imports.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):  # of the workers, which ask for the same large
        os.environ.setdefault(name, str(2**30))  # arrays in every step: glibc would give each back to the kernel
    quiet = {"log_to_driver": False, "logging_level": "error"}
    with redirect_stdout(sys.stderr):
        stop = signal.getsignal(signal.SIGTERM)
        if (address := os.environ.get("RAY_ADDRESS", "local")) == "local":
            with hide_log_level_line():
                start_local_cluster(max(os.cpu_count() or 1, cpus) + spare_cpus, quiet)
        else:
            join_cluster(address, quiet)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop)  # in whose place Ray has put one that ends the process at once
        joined = address != "local" and not address.startswith("ray://")
        try:
            with watch_head(ray.get_runtime_context().gcs_address) if joined else nullcontext():
                yield
        except OutOfDiskError:
            place = ray_folder()
            raise StoreError(f"{place}: disk full; free space, or set RAY_TMPDIR to a folder on another disk") from None
        finally:
            ray.shutdown()


def join_cluster(address: str, options: dict[str, Any]) -> None:
    require_listener(address)
    line = f"RAY_ADDRESS {address}: Ray ended this process while it joined, as it does where a machine's raylet hangs"
    with report_sudden_end(f"{line}; {START_AGAIN}"), capture_stderr() as captured:
        try:
            ray.init(**options)
        except Exception as error:  # its kinds are many
            ray.shutdown()
            raise BadInput(f"RAY_ADDRESS {address}: {explain_join_error(error, captured())}") from error


@contextmanager
def report_sudden_end(line: str) -> Iterator[None]:
    """Has another process print the line if this one ends meanwhile: Ray's C++ code ends it in silence (`_Exit`)."""
    with Popen(["sh", "-c", 'read -r _ || echo "$0" >&2', line], stdin=PIPE, start_new_session=True) as guard:
        try:
            yield
        finally:
            guard.communicate(b"well\n")


def explain_join_error(raised: Exception, stderr: str) -> str:
    """The cause, and what to do.

    Args:
        stderr: what Ray wrote to it meanwhile.
    """
    error = str(raised)
    if "No node info found" in str(raised.__cause__):
        return f"the cluster has lost its machine here; {START_AGAIN}"
    if "Version mismatch" in error:
        (ray_there, ray_here), (python_there, python_here) = (
            re.findall(rf"{name}: (\S+)", error) for name in ("Ray", "Python")
        )
        return (
            f"another version runs there: Ray {ray_there} with Python {python_there}, here Ray {ray_here} with Python "
            f"{python_here}; install the same here, or start the cluster from this environment"
        )
    if "AuthToken" in stderr or "nauthenticated" in error + stderr or "AuthenticationError" in error:
        return "asks for a token, or for another; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's"
    if "Could not find any running" in error:
        return (
            "no Ray cluster runs on this machine; start one (`ray start --head`), or unset it to use this machine alone"
        )
    if "multiple active" in error:
        return "several Ray clusters run on this machine; give the HOST:PORT of one"
    if "Invalid address format" in error:
        return "no address; give HOST:PORT, or unset it to use this machine alone"
    if "Failed to connect to Ray" in error:
        return "what answers there is no Ray cluster; give the head's HOST:PORT (6379 where nobody chose another)"
    return f"cannot be joined ({first_sentence(error)}); run this on one of its machines, or by jobs/submit.py"


@contextmanager
def capture_stderr() -> Iterator[Callable[[], str]]:
    """Keeps what this process, Ray's C++ code included, writes to file 2 from it; yields a function that returns it."""
    if sys.stderr is None:  # closed
        yield str
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:  # no pipe: what Ray starts may go on writing to it
        kept = os.dup(STDERR)
        os.dup2(file.fileno(), STDERR)

        def captured() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield captured
        finally:
            sys.stderr.flush()
            os.dup2(kept, STDERR)
            os.close(kept)


@contextmanager
def hide_log_level_line() -> Iterator[None]:
    """Keeps the line from stderr that Ray's C++ code prints on reading RAY_BACKEND_LOG_LEVEL, before the level counts.
    All else that is written meanwhile follows at the end, also where Ray does not start.
    """
    text = ""
    try:
        with capture_stderr() as captured:
            try:
                yield
            finally:
                text = captured()
    finally:
        for line in text.splitlines(keepends=True):
            if LEVEL_LINE not in line:
                sys.stderr.write(line)


def require_listener(address: str) -> None:
    """`BadInput` if nothing listens there: Ray itself would try for minutes, and end with a traceback."""
    if address.startswith(("http://", "https://")):
        raise BadInput(f"RAY_ADDRESS {address}: takes submitted jobs; use jobs/submit.py, or give the head's host:port")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        with socket.create_connection((host, int(port)), SECONDS_TO_ANSWER) as connection:
            answers_http = speaks_http(connection)
    except (OSError, OverflowError) as error:
        raise BadInput(
            f"RAY_ADDRESS {address}: nobody answers ({error}); start the cluster, or unset it to use this machine alone"
        ) from None
    if answers_http:
        raise BadInput(
            f"RAY_ADDRESS {address}: a web server answers, as where jobs are submitted; give the head's own "
            "port (6379 where nobody chose another), or http:// before it and use jobs/submit.py"
        )


def speaks_http(connection: socket.socket) -> bool:
    """Whether HTTP is spoken there, as at Ray's dashboard; Ray's own port does not, and Ray would wait for minutes."""
    connection.settimeout(1)
    with suppress(OSError):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(5) == b"HTTP/"
    return False


def start_local_cluster(cpus: int, options: dict[str, Any]) -> None:
    # Ray would keep one in the home folder, which a container's user may not have.
    os.environ["RAY_AUTH_TOKEN"] = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)
    try:
        ray.init(address="local", include_dashboard=False, num_cpus=cpus, **options)
    except Exception as error:  # its kinds are many, and plain
        ray.shutdown()
        raise disk_full(error, ray_folder()) or BadInput(explain_start_error(error)) from error


def explain_start_error(error: Exception) -> str:
    """The cause, and what to do."""
    name, folder = next((n for n in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(n)), "RAY_TMPDIR"), ray_folder()
    if "AF_UNIX path" in str(error):
        return (
            f"{name} {folder}: too long a path for Ray's sockets, which may have 107 bytes with some 60 of Ray's own; "
            "set RAY_TMPDIR to a shorter folder, such as /tmp"
        )
    if isinstance(error, OSError) and str(error.filename or "").startswith(folder):
        return f"{name} {folder}: Ray cannot write there ({error.strerror}); set RAY_TMPDIR to a folder where it can"
    if "object store memory" in str(error):
        return (
            f"/dev/shm has too little room for Ray ({first_sentence(error)}); give it more (docker run --shm-size=2g)"
        )
    return f"Ray does not start on this machine ({first_sentence(error)}); free CPUs and memory, then run this again"


def first_sentence(error: Exception | str) -> str:
    return " ".join(str(error).split()).partition(". ")[0][:300]


def ray_folder() -> str:
    """Where Ray keeps its sessions, from the variables that it reads."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()


def default_workers() -> int:
    """One for each GPU; without any, one for each CPU to spare."""
    return int(ray.cluster_resources().get("GPU", 0)) or worker_cpus()


def worker_cpus() -> int:
    """CPUs but the one for stages that only pass units on."""
    return max(1, sum(node_cpus()))


def max_threads_per_worker(workers: int) -> int:
    """The most CPUs that each of so many workers can have; a worker is on one node."""
    cpus = node_cpus()
    return max((n for n in range(1, max(cpus) + 1) if count_fitting_workers(cpus, n) >= workers), default=1)


def has_gpu() -> bool:
    return ray.cluster_resources().get("GPU", 0) > 0


def describe_devices() -> str:
    """The cluster's kinds of GPU, else of CPU. From Ray, as torch takes 2 s to load."""
    kinds = [name.removeprefix(ACCELERATOR) for name in ray.cluster_resources() if name.startswith(ACCELERATOR)]
    return ", ".join(sorted(kinds)) or f"CPU, {platform.machine()}"


def check_room(workers: int, threads: int, option: str = "--workers") -> None:
    """`BadInput` if there are too few CPUs, which would be waited for for ever. (GPUs may come with more machines.)"""
    most = count_fitting_workers(node_cpus(), threads)
    if not has_gpu() and workers > most:
        raise BadInput(f"{option} {workers}: this cluster's CPUs have room for {most}; give fewer, or leave it out")


def count_fitting_workers(cpus: list[int], threads: int) -> int:
    """Workers of so many threads that fit onto nodes with so many CPUs."""
    return sum(count // threads for count in cpus)


def node_cpus() -> list[int]:
    """The CPUs of each node, but for one of the largest's, which is for stages that only pass units on."""
    cpus = sorted(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    return [*cpus[:-1], cpus[-1] - 1]
