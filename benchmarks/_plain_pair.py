"""The machine's limit: two processes without Ray that do a worker's work, started and warmed before."""

import multiprocessing as mp
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection

import torch

Work = Callable[[], object]
GOAL = 0.95  # of the limit


class PlainPair(AbstractContextManager["PlainPair"]):
    """Of each process what its work is, made there once.

    Args:
        makes: picklable; what each gives is called at every turn, and once to warm up.
    """

    def __init__(self, makes: Sequence[Callable[[], Work]]) -> None:
        context = mp.get_context("spawn")
        self.pipes, self.processes = [], []
        for make in makes:
            pipe, other = context.Pipe()
            self.processes.append(context.Process(target=serve, args=(make, other), daemon=True))
            self.pipes.append(pipe)
            self.processes[-1].start()
        self()

    def __call__(self) -> float:
        """Seconds from their common start until the last one is done."""
        for pipe in self.pipes:
            pipe.send(None)
        started = [pipe.recv() for pipe in self.pipes]
        ended = [pipe.recv() for pipe in self.pipes]
        return max(ended) - min(started)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        for process in self.processes:
            process.terminate()


def serve(make: Callable[[], Work], pipe: Connection) -> None:
    torch.set_num_threads(1)
    work = make()
    while True:
        pipe.recv()
        pipe.send(time.time())
        work()
        pipe.send(time.time())


def share(ours: Sequence[float], limits: Sequence[float]) -> str:
    """Args:
    ours, limits: how fast each was, turn by turn.
    """
    turns = sorted(one / limit for one, limit in zip(ours, limits, strict=True))
    told = f"{statistics.median(ours) / statistics.median(limits):.2f} ({turns[0]:.2f} to {turns[-1]:.2f} in one turn)"
    return f"{told} of what two plain processes reach (at least {GOAL})"
