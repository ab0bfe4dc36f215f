"""What a job would do, for `--dry-run`: every job says it in the same lines, and stores nothing."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from cxr.cost import hour_price
from cxr.report.words import duration

Result = TypeVar("Result")
UNKNOWN_TIME = "not known beforehand; from its first minute on the job shows the time left"


@dataclass(frozen=True)
class Forecast:
    """In words, and the seconds that `time` speaks of."""

    reads: str
    makes: str
    needs: str
    time: str = UNKNOWN_TIME
    seconds: float | None = None

    def text(self, uri: str) -> str:
        """The lines to print.

        Args:
            uri: where it would go.
        """
        return (
            f"reads: {self.reads}\nmakes: {self.makes}\nneeds: {self.needs}\ntime: {self.time}\n{self.cost()}"
            f"nothing was written to {uri}"
        )

    def cost(self) -> str:
        """The line of what so long a time costs, where the price of an hour is known; else nothing."""
        if (price := hour_price()) is None:
            return ""
        return f"cost: {'as the time' if self.seconds is None else f'about {price.cost(self.seconds)}'}\n"


def count_words(counts: Mapping[str, int], most: int = 6) -> str:
    """`normal 60, pneumonia 60`, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{name} {count:,}" for name, count in ordered[:most])
    return shown + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def about(seconds: float) -> str:
    """An estimate in words."""
    return f"about {duration(seconds)}" if seconds >= 1 else duration(seconds)


@dataclass(frozen=True)
class Timed(Generic[Result]):
    """Work that was done to see how long it takes."""

    result: Result
    seconds: float


def timed(work: Callable[..., Result], *given: object, **named: object) -> Timed[Result]:
    """What the work gives for these arguments, and how long that took."""
    start = time.perf_counter()
    result = work(*given, **named)
    return Timed(result, time.perf_counter() - start)
