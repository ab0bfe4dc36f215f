"""What the work takes: for the job's last line, and for Prometheus at the metrics port of the driver's node.

Ray writes `ray_` before each name. GPU memory is there already: `ray_node_gram_used`.
"""

from dataclasses import dataclass
from typing import Any

from ray.util.metrics import Counter, Gauge

from cxr.report.words import duration


@dataclass
class Spent:
    """By all the work that this process has given out."""

    gpu_seconds: float = 0.0  # a GPU's second of work that came to its end
    retries: int = 0  # units that failed, and trials that were begun anew

    def told(self, seconds: float) -> str:
        """For the line at a job's end: how long it took, and what, where there is anything to tell."""
        gpu = f", {duration(self.gpu_seconds)} of GPU time" if self.gpu_seconds else ""
        return f"in {duration(seconds)}{gpu}" + (f", {self.retries} tried again" if self.retries else "")


SPENT = Spent()


class UnitMetrics:
    """Counts units and what they have made; in the driver, so that a unit that two workers make counts once."""

    def __init__(self) -> None:
        self.units = Counter("cxr_units", "Units by what became of them: done, failed, retried.", ("state",))
        self.images = Counter("cxr_images", "Pictures stored.")
        self.bytes = Counter("cxr_bytes", "Bytes stored.")

    def add(self, images: int, bytes: int = 0, error: str = "", retries: int = 0) -> None:
        """One unit more; `retries` are those at which it failed by itself."""
        self.units.inc(1, {"state": "failed" if error else "done"})
        for counter, count in ((self.images, images), (self.bytes, bytes)):
            if count:  # a counter takes no 0
                counter.inc(count)
        SPENT.retries += retries
        if retries:
            self.units.inc(retries, {"state": "retried"})


class LossMetric:
    """The last step's loss of each run."""

    def __init__(self) -> None:
        self.loss = Gauge("cxr_loss", "Loss of the last step.", ("run",))

    def tell(self, told: dict[str, Any]) -> None:
        if "loss" in told:
            self.loss.set(told["loss"], {"run": str(told.get("run", ""))})
