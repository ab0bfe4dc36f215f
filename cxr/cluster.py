"""Everything that touches Ray: the session, units of work over actors, training together, trials side by side.

A loop elsewhere takes iterables and callables; here they meet workers.
"""

import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Empty, Queue

from cxr.errors import BadInput, StoreError

PASSING_CPUS = 0.01  # other resources than a maker's, or Ray Data would fuse the stages into one
QUEUED = 4  # units at a worker, so that it need not wait for the driver
SECONDS_BETWEEN_LOOKS = 0.5
TRIES = 3  # at a unit that fails by itself, in the same actor

Rows = list[dict[str, Any]]
Told = dict[str, Any]  # what a unit's work has to say, JSON-serialisable


class Maker(Protocol):
    """Makes units; lives in an actor and loads what it needs at its first unit."""

    def rows(self, unit: int) -> Rows:
        """What the unit is to hold, JSON-serialisable."""

    def make(self, rows: Rows) -> np.ndarray:
        """The pictures of the rows, uint8 [len(rows), H, W]."""


Keeper = Callable[[int, Rows, np.ndarray | None, str], int]
"""Stores a unit's pictures, or the error it was given up with; returns the bytes stored."""


@dataclass(frozen=True)
class UnitDone:
    """What became of a unit: the `bytes` stored, or the `error` it was given up with."""

    unit: int
    images: int
    bytes: int
    seconds: float  # in the maker
    cpu_seconds: float  # of the maker's process and of storing
    error: str


@contextmanager
def session(cpus: int = 0, passing: int = 1) -> Iterator[None]:
    """The cluster that RAY_ADDRESS names (as under `ray job submit`), or else this machine alone.

    Alone, Ray is told of `passing` CPUs more than there are, or than the `cpus` that the makers will take together, for
    the stages that only pass units on: without one they would wait for the makers, and the makers for them.
    Until it ends, what is printed goes to stderr: Ray prints its own messages on stdout, and that is the job's answer.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its notes on retries are not for users; ours are
    quiet = {"log_to_driver": False, "logging_level": "error"}
    with redirect_stdout(sys.stderr):
        if os.environ.get("RAY_ADDRESS"):
            ray.init(**quiet)
        else:
            told = max(os.cpu_count() or 1, cpus) + passing
            ray.init(address="local", include_dashboard=False, num_cpus=told, **quiet)
        try:
            yield
        finally:
            ray.shutdown()


def quiet() -> None:
    """Ray Data's own bars and notes are off: jobs show their own."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False


def default_workers() -> int:
    """One for each GPU; without any, one for each CPU to spare."""
    return int(ray.cluster_resources().get("GPU", 0)) or spare_cpus()


def spare_cpus() -> int:
    """CPUs but the one for stages that only pass units on."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)


def has_gpu() -> bool:
    return ray.cluster_resources().get("GPU", 0) > 0


def check_room(workers: int, threads: int) -> None:
    """`BadInput` if there are too few CPUs, which would be waited for for ever. (GPUs may come with more machines.)"""
    room = spare_cpus() // threads
    if not has_gpu() and workers > room:
        raise BadInput(f"--workers {workers}: this cluster's CPUs have room for {room}; give fewer, or leave it out")


def run_units(
    units: pa.Array, maker: Callable[[], Maker], keeper: Keeper, workers: int, threads: int
) -> Iterator[UnitDone]:
    """Makes the units over `workers` actors and stores them in a stage of its own; yields them as they are done.

    A unit whose actor or node dies is made again elsewhere. One that fails by itself is tried again in place and then
    handed to the keeper with its error; the others go on. One block holds one unit, so one unit is what is retried.

    Args:
        units: int32 numbers of the units to make.
        threads: CPU threads of a maker where there is no GPU.

    Raises:
        BadInput: the cluster has no room for so many workers.
        BadInput, StoreError: a maker or keeper raised it: nothing that trying again could mend.
    """
    quiet()
    gpu = has_gpu()
    check_room(workers, threads)
    done = (
        ray.data.from_arrow(pa.table({"unit": units}))
        .repartition(target_num_rows_per_block=1)
        .map_batches(
            MakeStage,
            fn_constructor_args=(maker,),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(units))),
            num_cpus=1 if gpu else threads,
            num_gpus=1 if gpu else 0,
        )
        .map_batches(keep_stage, fn_args=(keeper,), batch_size=1, batch_format="pyarrow", num_cpus=PASSING_CPUS)
    )
    for table in done.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in table.to_pylist():
            stop_if_fatal(row.pop("fatal"))
            yield UnitDone(**row)


def run_rows(units: Iterator[tuple[int, bytes]], work: Callable[[int, bytes], Told], workers: int) -> Iterator[Told]:
    """Calls `work(unit, rows)` for every unit, `workers` at a time on a CPU each; yields what it tells, as it comes.

    A unit whose worker or node dies is done again elsewhere, so `work` must store the same whenever it is called.

    Raises:
        BadInput, StoreError: the work raised it.
    """
    quiet()
    schema = pa.schema([("unit", pa.int32()), ("rows", pa.large_binary())])
    blocks = [pa.table([[unit], [rows]], schema=schema) for unit, rows in units]  # repartition feeds one CPU only
    done = ray.data.from_arrow(blocks).map_batches(
        WorkStage, fn_constructor_args=(work,), batch_size=1, batch_format="pyarrow", num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks)), max_tasks_in_flight_per_actor=QUEUED),
    )  # fmt: skip
    for told in done.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in told.to_pylist():
            stop_if_fatal(row["fatal"])
            yield json.loads(row["told"])


class WorkStage:
    """A Ray Data actor that does units' work. As a task it would stand still: their end is seen up to 0.2 s late."""

    def __init__(self, work: Callable[[int, bytes], Told]) -> None:
        self.work = work

    def __call__(self, block: pa.Table) -> pa.Table:
        told, fatal = {}, ""
        try:
            told = self.work(block["unit"][0].as_py(), block["rows"][0].as_py())
        except (BadInput, StoreError) as stop:
            fatal = fatal_of(stop)
        return pa.table({"told": [json.dumps(told)], "fatal": [fatal]})


Tell = Callable[[Told], None]


Work = Callable[..., None]
"""Called as `work(tell, *shared)`."""


def train(work: Work, workers: tuple[int, int], threads: int, shared: Sequence[ray.ObjectRef] = ()) -> Iterator[Told]:
    """Runs `work(tell, *shared)` on workers that train together, by Ray Train; yields what they tell, as it comes.

    torch.distributed is set up between them, NCCL over GPUs and gloo over CPUs. If one of them or its node dies, or if
    more can be had than there are, all begin anew: `work` must go on by itself from its last checkpoint.

    Args:
        workers: the least to go on with, and the most.
        threads: CPUs of a worker.
        shared: as `share` gives it.

    Raises:
        BadInput, StoreError: the work raised it.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    least, most = workers
    check_room(most, threads)
    gpu, queue = has_gpu(), Queue(actor_options={"num_cpus": 0})
    with tempfile.TemporaryDirectory() as folder:
        trainer = TorchTrainer(
            lambda: told_work(work, queue, shared),
            scaling_config=ScalingConfig(
                num_workers=most if least == most else workers,
                use_gpu=gpu,
                resources_per_worker={"CPU": threads} | ({"GPU": 1} if gpu else {}),
            ),
            run_config=RunConfig(name="train", storage_path=folder, failure_config=FailureConfig(max_failures=TRIES)),
        )
        yield from told_while(trainer.fit, queue)


def share(*arrays: np.ndarray) -> list[ray.ObjectRef]:
    """Arrays that every worker reads where they lie, without a copy of its own; they cannot be written to."""
    return [ray.put(array) for array in arrays]


def run_trials(
    trials: Sequence[Work], threads: int, gpus: float = 1, shared: Sequence[ray.ObjectRef] = ()
) -> Iterator[Told]:
    """Runs every `trial(tell, *shared)` as a task, as many at a time as there is room; yields what they tell.

    A trial whose worker dies is run again: it must go on by itself, or begin anew. One whose workers die again and
    again is given up, told as `{"trial": its number, "error": why}`, and the others go on.

    Args:
        threads: CPUs of a trial.
        gpus: of a trial, where there are any; 0.25 lets four share one.
        shared: as `share` gives it.

    Raises:
        BadInput, StoreError: a trial raised it.
    """
    queue = Queue(actor_options={"num_cpus": 0})
    task = ray.remote(num_cpus=threads, num_gpus=gpus if has_gpu() else 0, max_retries=TRIES)(told_work)

    def run() -> None:
        running = [task.remote(trial, queue, shared) for trial in trials]
        for number, ended in enumerate(running):
            try:
                ray.get(ended)
            except RayTaskError:  # raised by the trial's own code
                raise
            except RayError as lost:
                queue.put({"trial": number, "error": f"its workers died ({type(lost).__name__})"})

    yield from told_while(run, queue)


def told_work(work: Work, queue: Queue, shared: Sequence[ray.ObjectRef]) -> None:
    """In a worker: its refusals are told before they are raised, and so end the job with their own words."""
    try:
        work(queue.put, *ray.get(list(shared)))
    except (BadInput, StoreError) as stop:
        queue.put({"fatal": fatal_of(stop)})
        raise


def told_while(run: Callable[[], object], queue: Queue) -> Iterator[Told]:
    """Yields what is put into the queue until `run` has ended and it is empty; raises what `run` raised."""
    raised: list[BaseException] = []

    def body() -> None:
        try:
            run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=body, daemon=True)  # not the main one: Ray would take Ctrl-C for itself
    thread.start()
    while True:
        ended = not thread.is_alive()
        try:
            told = queue.get(timeout=SECONDS_BETWEEN_LOOKS)
        except Empty:
            if ended:
                break
            continue
        stop_if_fatal(told.pop("fatal", ""))
        yield told
    if raised:
        raise raised[0]


def fatal_of(stop: BadInput | StoreError) -> str:
    """What `stop_if_fatal` raises again."""
    return f"{type(stop).__name__} {stop}"


def stop_if_fatal(fatal: str) -> None:
    """Raises what a worker raised: its kind and message, travelled in a column."""
    if fatal:
        kind, message = fatal.split(" ", 1)
        raise {"BadInput": BadInput, "StoreError": StoreError}[kind](message)


class MakeStage:
    """A Ray Data actor around a maker. What goes wrong travels on in columns: an exception would end the whole job."""

    def __init__(self, maker: Callable[[], Maker]) -> None:
        self.make_maker = maker
        self.maker: Maker | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        start, cpu = time.monotonic(), time.process_time()
        made = self.attempt(block["unit"][0].as_py())
        seconds = {"seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu}
        return pa.table({name: [value] for name, value in {**made, **seconds}.items()}, schema=MADE)

    def attempt(self, unit: int) -> dict[str, Any]:
        rows, error, fatal = [], "", ""
        for _ in range(TRIES):
            try:
                self.maker = self.maker or self.make_maker()
                rows = rows or self.maker.rows(unit)
                pictures = self.maker.make(rows)
                return made_unit(unit, rows, pictures.tobytes(), list(pictures.shape))
            except (BadInput, StoreError) as stop:
                fatal = fatal_of(stop)
                break
            except Exception as failure:
                error = f"{type(failure).__name__}: {failure}"
        return made_unit(unit, rows, b"", [0, 0, 0], error, fatal)


MADE = pa.schema(
    [
        ("unit", pa.int32()),
        ("rows", pa.large_string()),  # JSON
        ("pixels", pa.large_binary()),
        ("shape", pa.list_(pa.int32())),
        ("error", pa.string()),
        ("fatal", pa.string()),
        ("seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
    ]
)


def made_unit(unit: int, rows: Rows, pixels: bytes, shape: list[int], error: str = "", fatal: str = "") -> dict:
    return {"unit": unit, "rows": json.dumps(rows), "pixels": pixels, "shape": shape, "error": error, "fatal": fatal}


def keep_stage(block: pa.Table, keeper: Keeper) -> pa.Table:
    """Stores one made unit."""
    start = time.thread_time()
    made = {name: block[name][0].as_py() for name in block.column_names if name != "pixels"}
    rows, fatal, stored = json.loads(made["rows"]), made["fatal"], 0
    if not fatal:
        pixels = np.frombuffer(block["pixels"][0].as_buffer(), np.uint8).reshape(made["shape"])
        try:
            stored = keeper(made["unit"], rows, None if made["error"] else pixels, made["error"])
        except (BadInput, StoreError) as stop:
            fatal = fatal_of(stop)
    done = {
        "unit": made["unit"],
        "images": 0 if made["error"] else len(rows),
        "bytes": stored,
        "seconds": made["seconds"],
        "cpu_seconds": made["cpu_seconds"] + time.thread_time() - start,
        "error": made["error"],
        "fatal": fatal,
    }
    return pa.table({name: [value] for name, value in done.items()})
