"""Two ways of doing one thing, timed in turns in one process, so that a busy machine slows both alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

TURNS = 5


@dataclass(frozen=True)
class Sides:
    """Seconds of each turn."""

    ours: list[float]
    theirs: list[float]

    @property
    def our_median(self) -> float:
        return statistics.median(self.ours)

    @property
    def their_median(self) -> float:
        return statistics.median(self.theirs)

    @property
    def ratios(self) -> list[float]:
        """How many times as long theirs takes, in each turn, ascending."""
        return sorted(b / a for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def side_by_side(ours: Callable[[], object], theirs: Callable[[], object], turns: int = TURNS) -> Sides:
    """Runs both once to warm up, then `turns` times each; who begins changes from turn to turn."""
    seconds: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    ours(), theirs()
    for turn in range(turns):
        for side in (ours, theirs) if turn % 2 else (theirs, ours):
            start = time.perf_counter()
            side()
            seconds[side].append(time.perf_counter() - start)
    return Sides(seconds[ours], seconds[theirs])


def verdict(holds: bool, figure: str) -> None:
    """The last line of every benchmark; a missed claim is reported, it is no error."""
    print(f"claim {'holds' if holds else 'missed'}: {figure}")
