"""GPU time, retries, units and losses: for the job's last line, and for Prometheus at the metrics port of its node.

Ray writes `ray_` before each name. GPU memory is there already: `ray_node_gram_used`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray.util.metrics import Counter, Gauge

from cxr.report.words import duration


@dataclass
class ComputeUsage:
    """Of all the work that this process has started."""

    gpu_seconds: float = 0.0  # of work that has ended
    cpu_seconds: float = 0.0  # of work without a GPU: its time, for each CPU that it had to itself
    retries: int = 0  # of units that failed, and of trials that were started again
    own_seconds: Callable[[], float] = lambda: 0.0  # of a CPU, of this process itself

    def summary(self, seconds: float) -> str:
        """For a job's last lines: the time it took, that of its GPUs or else CPUs, and retries where there were any."""
        parts = [f"in {duration(seconds)}"]
        if (used := self.gpu_seconds or self.cpu_seconds + self.own_seconds()) >= 1:
            parts.append(f"{duration(used)} of {'GPU' if self.gpu_seconds else 'CPU'} time")
        return ", ".join([*parts, *([f"{self.retries} tried again"] if self.retries else [])])

    def add(self, seconds: float, cpus: float, gpus: float) -> None:
        """Work that has ended."""
        if gpus:
            self.gpu_seconds += gpus * seconds
        else:
            self.cpu_seconds += cpus * seconds


COMPUTE_USAGE = ComputeUsage(own_seconds=time.process_time)


class UnitMetrics:
    """Counts units, pictures and bytes; in the driver, so that a unit that two workers make counts once."""

    def __init__(self) -> None:
        self.units = Counter("cxr_units", "Units by state: done, failed, retried.", ("state",))
        self.images = Counter("cxr_images", "Pictures stored.")
        self.bytes = Counter("cxr_bytes", "Bytes stored.")

    def add(self, images: int, bytes: int = 0, error: str = "", retries: int = 0) -> None:
        """One unit more; `retries` are those at which it failed by itself."""
        self.units.inc(1, {"state": "failed" if error else "done"})
        for counter, count in ((self.images, images), (self.bytes, bytes)):
            if count:  # a counter takes no 0
                counter.inc(count)
        COMPUTE_USAGE.retries += retries
        if retries:
            self.units.inc(retries, {"state": "retried"})


class LossMetric:
    """The last step's loss of each run."""

    def __init__(self) -> None:
        self.loss = Gauge("cxr_loss", "Loss of the last step.", ("run",))

    def update(self, message: dict[str, Any]) -> None:
        if "loss" in message:
            self.loss.set(message["loss"], {"run": str(message.get("run", ""))})
