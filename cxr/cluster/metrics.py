"""GPU time, retries, units and losses: for the job's last line, and for Prometheus at the metrics port of its node.

Ray writes `ray_` before each name. GPU memory is there already: `ray_node_gram_used`.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray.util.metrics import Counter, Gauge

from cxr.report.words import duration

PRICE = "CXR_HOUR_PRICE"


@dataclass
class ComputeUsage:
    """Of all the work that this process has started."""

    gpu_seconds: float = 0.0  # of work that has ended
    cpu_seconds: float = 0.0  # of work without a GPU: its time, for each CPU that it had to itself
    retries: int = 0  # of units that failed, and of trials that were started again
    own_seconds: Callable[[], float] = lambda: 0.0  # of a CPU, of this process itself

    def summary(self, seconds: float) -> str:
        """For a job's last line: the time it took, that of its GPUs or else CPUs, what these cost where a price is
        known, and retries where there were any."""
        parts = [f"in {duration(seconds)}"]
        if (used := self.gpu_seconds or self.cpu_seconds + self.own_seconds()) >= 1:
            parts.append(f"{duration(used)} of {'GPU' if self.gpu_seconds else 'CPU'} time{cost_of(used)}")
        return ", ".join([*parts, *([f"{self.retries} tried again"] if self.retries else [])])

    def add(self, seconds: float, cpus: float, gpus: float) -> None:
        """Work that has ended."""
        if gpus:
            self.gpu_seconds += gpus * seconds
        else:
            self.cpu_seconds += cpus * seconds


def cost_of(seconds: float) -> str:
    """In brackets, at the price of an hour of a GPU (of a CPU where there is none) that CXR_HOUR_PRICE names, as
    `2.50 EUR`; empty where it names none."""
    price, _, currency = os.environ.get(PRICE, "").strip().partition(" ")
    try:
        cost = float(price) * seconds / 3600
    except ValueError:
        return f" ({PRICE} {price[:20]!r} is no price; give one as 2.50 EUR)" if price else ""
    return (
        f" (about {cost:.2f} {currency} at {price} an hour)" if currency else f" (about {cost:.2f} at {price} an hour)"
    )


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
