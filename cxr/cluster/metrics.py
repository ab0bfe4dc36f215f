"""GPU time, retries, units and losses: for the job's last line, and for Prometheus at the metrics port of its node.

Ray writes `ray_` before each name. GPU memory is there already: `ray_node_gram_used`.
"""

from dataclasses import dataclass
from typing import Any

from ray.util.metrics import Counter, Gauge

from cxr.report.words import duration


@dataclass
class ComputeUsage:
    """Of all the work that this process has started."""

    gpu_seconds: float = 0.0  # of work that has ended
    retries: int = 0  # of units that failed, and of trials that were started again

    def summary(self, seconds: float) -> str:
        """For a job's last line: the time it took, and GPU time and retries where there were any."""
        gpu = f", {duration(self.gpu_seconds)} of GPU time" if self.gpu_seconds else ""
        return f"in {duration(seconds)}{gpu}" + (f", {self.retries} tried again" if self.retries else "")


COMPUTE_USAGE = ComputeUsage()


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
