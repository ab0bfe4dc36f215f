"""Units of work over Ray Data: made by actors and stored by a stage of its own, or done by a worker as they come."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import ray

# A driver that was killed holds its share of the cluster for as long, and the next one could store nothing until then:
# by default 180 s. One that lives renews its claim every 10 s. Ray Data reads this when it is imported.
os.environ.setdefault("RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S", "15")
import ray.data

from cxr.cluster.metrics import COMPUTE_USAGE, UnitMetrics
from cxr.cluster.session import check_room, has_gpu
from cxr.cluster.user_errors import encode_user_error, raise_user_error

STAGE_CPUS = 0.01  # of the other stages; with a maker's resources Ray Data would fuse them with it
STORES_PER_MAKER = 2  # units stored at a time, for each maker: a slow store would fill the machine with processes
UNITS_PER_WORKER = 4  # units at a worker, so that it need not wait for the driver
MAX_ROW_BYTES = 2**28  # bytes of units' rows in memory at once: sources of whole pixels have them in their rows
TRIES = 3  # at a unit that fails by itself, in the same actor

Rows = list[dict[str, Any]]
Message = dict[str, Any]  # what a unit's work returns, JSON-serialisable


class ImageMaker(Protocol):
    """Makes the pictures of units; lives in an actor and loads what it needs at its first unit."""

    def rows(self, unit: int) -> Rows:
        """The rows of the unit, one a picture, JSON-serialisable."""

    def make(self, rows: Rows) -> np.ndarray:
        """The pictures of the rows, uint8 [len(rows), H, W]."""


WriteUnit = Callable[[int, Rows, np.ndarray | None, str], int]
"""Stores a unit's pictures, or the error it was given up with; returns the bytes stored."""


@dataclass(frozen=True)
class UnitDone:
    """A unit that is stored, of so many `bytes`, or was given up with an `error`."""

    unit: int
    images: int
    bytes: int
    seconds: float  # in the maker
    cpu_seconds: float  # of the maker's process and of storing
    error: str
    retries: int = 0  # after failures of its own


def run_units(
    units: pa.Array, maker: Callable[[], ImageMaker], write_unit: WriteUnit, workers: int, threads: int
) -> Iterator[UnitDone]:
    """Makes the units over `workers` actors and stores them in a stage of its own; yields them as they are done.

    A unit whose actor or node dies is made again elsewhere. One that fails by itself is tried again in place and then
    handed to the store with its error; the others go on. One block holds one unit, so one unit is what is retried.

    Args:
        units: int32 numbers of the units to make.
        threads: CPU threads of a maker where there is no GPU.

    Raises:
        BadInput: the cluster has no room for so many workers.
        BadInput, StoreError: a maker or store raised it: nothing that trying again could mend.
    """
    configure_ray_data()
    gpu = has_gpu()
    check_room(workers, threads)
    makers = min(workers, len(units))
    done = (
        ray.data.from_items([{"unit": unit} for unit in units.to_pylist()], override_num_blocks=1)
        .map_batches(one_block_per_unit, batch_size=None, batch_format="pyarrow", num_cpus=STAGE_CPUS)
        .map_batches(
            ImageMakerWorker,
            fn_constructor_args=(maker,),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=makers),
            num_cpus=1 if gpu else threads,
            num_gpus=1 if gpu else 0,
        )
        .map_batches(
            store_made_unit,
            fn_args=(write_unit,),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.TaskPoolStrategy(size=min(STORES_PER_MAKER * makers, len(units))),
            num_cpus=STAGE_CPUS,
        )
    )
    metrics = UnitMetrics()
    for table in done.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in table.to_pylist():
            raise_user_error(row.pop("user_error"))
            unit = UnitDone(**row)
            COMPUTE_USAGE.add(unit.seconds, threads, gpu)
            metrics.add(unit.images, unit.bytes, unit.error, unit.retries)
            yield unit


def one_block_per_unit(units: pa.Table) -> pa.Table:
    """The table unchanged: this stage's output is one block a row. `repartition` would hold a whole CPU until it has
    given out all of them, and where none is to spare the stage that stores would wait for it."""
    return units


class ImageMakerWorker:
    """A Ray Data actor around a maker. Errors travel on in columns: an exception would end the whole job."""

    def __init__(self, maker: Callable[[], ImageMaker]) -> None:
        self.make_maker = maker
        self.maker: ImageMaker | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        start, cpu = time.monotonic(), time.process_time()
        images = self.make_with_retries(block["unit"][0].as_py())
        seconds = {"seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu}
        return pa.table({name: [value] for name, value in {**images, **seconds}.items()}, schema=MADE_SCHEMA)

    def make_with_retries(self, unit: int) -> dict[str, Any]:
        rows: Rows = []
        error, user_error = "", ""
        for retry in range(TRIES):
            try:
                self.maker = self.maker or self.make_maker()
                rows = rows or self.maker.rows(unit)
                pictures = self.maker.make(rows)
                return made_row(unit, rows, pictures.tobytes(), list(pictures.shape), retries=retry)
            except Exception as failure:
                if user_error := encode_user_error(failure):
                    break
                error = f"{type(failure).__name__}: {failure}"
        return made_row(unit, rows, b"", [0, 0, 0], error, user_error, retry)


MADE_SCHEMA = pa.schema(
    [
        ("unit", pa.int32()),
        ("rows", pa.large_string()),  # JSON
        ("pixels", pa.large_binary()),
        ("shape", pa.list_(pa.int32())),
        ("error", pa.string()),
        ("user_error", pa.string()),
        ("retries", pa.int32()),
        ("seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
    ]
)


def made_row(
    unit: int, rows: Rows, pixels: bytes, shape: list[int], error: str = "", user_error: str = "", retries: int = 0
) -> dict[str, Any]:
    """A row of `MADE_SCHEMA`, but for its seconds."""
    return {"unit": unit, "rows": json.dumps(rows), "pixels": pixels, "shape": shape, "error": error,
            "user_error": user_error, "retries": retries}  # fmt: skip


def store_made_unit(block: pa.Table, write_unit: WriteUnit) -> pa.Table:
    """Stores a unit's images."""
    start = time.thread_time()
    unit = {name: block[name][0].as_py() for name in block.column_names if name != "pixels"}
    rows, user_error, stored = json.loads(unit["rows"]), unit["user_error"], 0
    if not user_error:
        pixels = np.frombuffer(block["pixels"][0].as_buffer(), np.uint8).reshape(unit["shape"])
        try:
            stored = write_unit(unit["unit"], rows, None if unit["error"] else pixels, unit["error"])
        except Exception as failure:
            if not (user_error := encode_user_error(failure)):
                raise
    done = {
        "unit": unit["unit"],
        "images": 0 if unit["error"] else len(rows),
        "bytes": stored,
        "seconds": unit["seconds"],
        "cpu_seconds": unit["cpu_seconds"] + time.thread_time() - start,
        "error": unit["error"],
        "user_error": user_error,
        "retries": unit["retries"],
    }
    return pa.table({name: [value] for name, value in done.items()})


def run_rows(
    units: Iterator[tuple[int, bytes]],
    work: Callable[..., Message],
    workers: int,
    threads: int = 1,
    gpus: int = 0,
    shared: Sequence[ray.ObjectRef] = (),
) -> Iterator[Message]:
    """Calls `work(unit, rows, *shared)` for every unit, `workers` at a time; yields what it returns, as it comes.

    A unit whose worker or node dies is done again elsewhere, so `work` must store the same whenever it is called.

    Args:
        threads: CPUs of a worker.
        gpus: of a worker.
        shared: as `share` gives it.

    Raises:
        BadInput: the cluster has no room for so many workers.
        BadInput, StoreError: the work raised it.
    """
    configure_ray_data()
    check_room(workers, threads)
    metrics = UnitMetrics()
    for part in batches_by_bytes(units, MAX_ROW_BYTES):
        items = [{"unit": unit, "rows": rows} for unit, rows in part]
        pool = ray.data.ActorPoolStrategy(size=min(workers, len(items)), max_tasks_in_flight_per_actor=UNITS_PER_WORKER)
        # `from_arrow` would start processes to measure the blocks; `repartition` feeds one CPU only
        done = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            UnitWorker, fn_constructor_args=(work, shared), batch_size=1, batch_format="pyarrow", num_cpus=threads,
            num_gpus=gpus, compute=pool,
        )  # fmt: skip
        for table in done.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in table.to_pylist():
                raise_user_error(row["user_error"])
                COMPUTE_USAGE.add(row["seconds"], threads, gpus)
                message = json.loads(row["message"])
                metrics.add(message.get("images", 0))
                yield message


def batches_by_bytes(units: Iterable[tuple[int, bytes]], max_bytes: int) -> Iterator[list[tuple[int, bytes]]]:
    """Units in order, as many at a time as have `max_bytes` of rows together, or one that has more."""
    part: list[tuple[int, bytes]] = []
    size = 0
    for unit, rows in units:
        if part and size + len(rows) > max_bytes:
            yield part
            part, size = [], 0
        part.append((unit, rows))
        size += len(rows)
    if part:
        yield part


class UnitWorker:
    """A Ray Data actor that does units' work. As a task it would stand still: their end is seen up to 0.2 s late."""

    def __init__(self, work: Callable[..., Message], shared: Sequence[ray.ObjectRef]) -> None:
        self.work, self.shared = work, ray.get(list(shared))

    def __call__(self, block: pa.Table) -> pa.Table:
        message, user_error, start = {}, "", time.monotonic()
        try:
            message = self.work(block["unit"][0].as_py(), block["rows"][0].as_py(), *self.shared)
        except Exception as failure:
            if not (user_error := encode_user_error(failure)):
                raise
        row = {"message": json.dumps(message), "user_error": user_error, "seconds": time.monotonic() - start}
        return pa.table({name: [value] for name, value in row.items()})


def configure_ray_data() -> None:
    """Sets Ray Data up: a block is a row, and so a unit; its own bars and notes are off, as jobs show their own."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # byte, so that every row is a block of its own
