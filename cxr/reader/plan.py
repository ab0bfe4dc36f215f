"""How many cases a reader study needs, before anybody reads one.

The AUC's variance over cases is Hanley and McNeil's (1982, Radiology 143, 29), its parts over readers and cases and the
degrees of freedom are those that `statistics` estimates.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from cxr.reader.statistics import BY_CHANCE
from cxr.report.pages import Table
from cxr.report.proportions import LEVEL

BETWEEN = 0.03  # standard deviation of the readers' true AUC
SHARED = 0.4  # correlation of two readers' AUC over the same cases
POWER = 0.8
CASES = (50, 100, 150, 200, 300, 500, 1000)
ASSUMED = (
    f"Assumed: readers whose true AUC differs by a standard deviation of {BETWEEN}, and whose AUC on the same cases "
    f"correlates by {SHARED}. Readers who differ more need more readers, not more cases."
)


@dataclass(frozen=True)
class Expected:
    """Of a study whose readers have this mean AUC."""

    low: float  # the 95 % interval, on average
    high: float
    finds: float  # the share of such studies whose interval leaves 0.5 out


def expect(readers: int, cases: int, area: float = BY_CHANCE) -> Expected:
    """What a study of so many readers and cases, half of them synthetic, would give."""
    each = variance_of_cases(area, cases // 2)
    of_readers, shared = BETWEEN**2 + each * (1 - SHARED), each * SHARED
    total = of_readers + readers * shared
    if readers == 1:  # other cases alone
        error, freedom = np.sqrt(each), np.inf
    else:
        error, freedom = np.sqrt(total / readers), total**2 / (of_readers**2 / (readers - 1))
    scale = error / (area * (1 - area))
    quantile, middle = float(stats.t.isf(LEVEL / 2, freedom)), float(logit(area))
    low, high = expit(middle + quantile * scale * np.array([-1, 1]))
    finds = stats.t.sf(quantile - abs(middle) / scale, freedom)
    return Expected(float(low), float(high), float(finds))


def variance_of_cases(area: float, each: int) -> float:
    """Of a reader's AUC over so many real and so many synthetic cases."""
    both_above, both_below = area / (2 - area), 2 * area**2 / (1 + area)
    return float((area * (1 - area) + (each - 1) * (both_above + both_below - 2 * area**2)) / each**2)


def smallest_found(readers: int, cases: int) -> float:
    """The lowest AUC above 0.5 that four studies in five would find."""
    return next((float(area) for area in np.arange(0.51, 1, 0.01) if expect(readers, cases, area).finds >= POWER), 1.0)


def plan_table(readers: int, cases: int) -> Table:
    """A number of cases a row, the asked one among them."""
    rows = []
    for count in sorted({*CASES, cases}):
        guessing = expect(readers, count)
        rows.append([f"{count}", f"{guessing.low:.2f} to {guessing.high:.2f}", f"{smallest_found(readers, count):.2f}"])
    return ["cases", "interval if readers guess (AUC 0.5)", f"AUC found in {POWER:.0%} of studies"], rows
