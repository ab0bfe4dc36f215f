"""Work that sends messages on its progress: by workers that train together, or in trials side by side."""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cxr.cluster.metrics import COMPUTE_USAGE, LossMetric
from cxr.cluster.session import check_room, has_gpu
from cxr.cluster.user_errors import encode_user_error, raise_user_error

SECONDS_BETWEEN_CHECKS = 0.5  # of whether the work has ended
TRIES = 3  # of work whose worker died

Message = dict[str, Any]  # JSON-serialisable
SendMessage = Callable[[Message], None]
Work = Callable[..., None]
"""Called as `work(send, *shared)`, `send` being a `SendMessage`."""


class WorkersDied(Exception):
    """Again and again, by no error of their own: killed, for want of memory perhaps, or their nodes were lost."""


def train(
    work: Work, workers: tuple[int, int], threads: int, shared: Sequence[ray.ObjectRef] = (), option: str = "--workers"
) -> Iterator[Message]:
    """Runs `work(send, *shared)` on workers that train together, by Ray Train; yields their messages as they come.

    torch.distributed is set up between them, NCCL over GPUs and gloo over CPUs. If one of them or its node dies, or if
    more can be had than there are, all start again: `work` must resume by itself from its last checkpoint.

    Args:
        workers: the least to go on with, and the most.
        threads: CPUs of a worker.
        shared: as `share` gives it.
        option: that asked for so many workers.

    Raises:
        BadInput, StoreError: the work raised it.
        WorkersDied: more often than they are started again.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError, get_context
    from ray.train.torch import TorchTrainer

    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    least, most = workers
    check_room(least, threads, option)
    gpus, queue = int(has_gpu()), make_queue()
    with tempfile.TemporaryDirectory() as folder:
        trainer = TorchTrainer(
            lambda: run_and_report(work, queue, shared, threads, gpus, first=get_context().get_world_rank() == 0),
            scaling_config=ScalingConfig(
                num_workers=most if least == most else workers,
                use_gpu=bool(gpus),
                resources_per_worker={"CPU": threads, "GPU": gpus} if gpus else {"CPU": threads},
            ),
            run_config=RunConfig(name="train", storage_path=folder, failure_config=FailureConfig(max_failures=TRIES)),
        )
        try:
            yield from stream_messages(trainer.fit, queue, 1)
        except WorkerGroupError as lost:
            why = next((e for e in lost.worker_failures.values() if type(e).__module__.startswith("ray.")), None)
            if why is None:  # its own error, a bug
                raise
            raise WorkersDied(f"the workers died {1 + TRIES} times ({str(why).strip().splitlines()[0]})") from lost


def train_trials(
    trials: Sequence[Work], workers: int, threads: int, shared: Sequence[ray.ObjectRef] = (), option: str = "--workers"
) -> Iterator[Message]:
    """Trains every trial as `train` does, each by so many workers, one trial after another; yields their messages.

    One whose workers fail again and again is given up with the message `{"trial": its number, "error": why}`, and the
    others go on. Raises as `train`.
    """
    from ray.train import TrainingFailedError

    for number, trial in enumerate(trials):
        try:
            yield from train(trial, (workers, workers), threads, shared, option)
        except (TrainingFailedError, WorkersDied) as lost:
            yield {"trial": number, "error": f"its workers failed: {str(lost).strip().splitlines()[-1]}"}


def share(*values: object) -> list[ray.ObjectRef]:
    """Arrays, and what holds them, that every worker of a node reads where they lie, without a copy of its own; they
    cannot be written to."""
    return [ray.put(value) for value in values]


def run_trials(
    trials: Sequence[Work], threads: int, gpus: float = 1, shared: Sequence[ray.ObjectRef] = ()
) -> Iterator[Message]:
    """Runs every `trial(send, *shared)` as a task, as many at a time as there is room; yields their messages.

    A trial whose worker dies is run again: it must resume by itself, or start again. One whose workers die again and
    again is given up with the message `{"trial": its number, "error": why}`, and the others go on.

    Args:
        threads: CPUs of a trial.
        gpus: of a trial, where there are any; 0.25 lets four share one.
        shared: as `share` gives it.

    Raises:
        BadInput, StoreError: a trial raised it.
    """
    queue, gpus = make_queue(), gpus if has_gpu() else 0
    task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=TRIES)(run_and_report)

    def run() -> None:
        running = [task.remote(trial, queue, shared, threads, gpus) for trial in trials]
        for number, ended in enumerate(running):
            try:
                ray.get(ended)
            except RayTaskError:  # raised by the trial's own code
                raise
            except RayError as lost:
                if not ray.is_initialized():  # the session has ended: another call would begin a new one
                    return
                queue.put({"trial": number, "error": f"its workers died ({type(lost).__name__})"})

    yield from stream_messages(run, queue, len(trials))


def make_queue() -> Queue:
    """On the driver's own node: one that another node's death takes along would end the job."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})


def run_and_report(
    work: Work, queue: Queue, shared: Sequence[ray.ObjectRef], cpus: float, gpus: float, first: bool = True
) -> None:
    """In a worker: a user's error is sent before it is raised, so that the job ends with its message.

    Args:
        cpus, gpus: of the worker.
        first: whether it is the first of those that train together, which alone sends that they started.
    """
    start = time.monotonic()
    if first:
        queue.put({"started": True})
    try:
        work(queue.put, *ray.get(list(shared)))
    except Exception as failure:
        if user_error := encode_user_error(failure):
            queue.put({"user_error": user_error})
        raise
    finally:
        queue.put({"used": (time.monotonic() - start, cpus, gpus)})


def stream_messages(run: Callable[[], object], queue: Queue, starts: int) -> Iterator[Message]:
    """Yields what is put into the queue until `run` has ended and it is empty; raises what `run` raised.

    Args:
        starts: of work, if nothing fails.
    """
    raised: list[BaseException] = []

    def body() -> None:
        try:
            run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=body, daemon=True)  # not the main one: Ray would take Ctrl-C for itself
    thread.start()
    metric, started = LossMetric(), 0
    while True:
        ended = not thread.is_alive()
        try:
            message = queue.get(timeout=SECONDS_BETWEEN_CHECKS)
        except Empty:
            if ended:
                break
            continue
        raise_user_error(message.pop("user_error", ""))
        COMPUTE_USAGE.add(*message.pop("used", (0, 0, 0)))
        started += message.pop("started", False)
        if message:
            metric.update(message)
            yield message
    COMPUTE_USAGE.retries += max(0, started - starts)
    if raised:
        raise raised[0]
