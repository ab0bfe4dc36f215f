"""Which pictures to make next until enough are accepted, and which of those that were made belong to the set.

The plan has the candidates of each finding one after another, in whole units. The set is the shortest beginning of
them that holds `quota` accepted ones, or all where fewer are accepted. So it follows from the verdicts, which follow
from the pictures: not from how many were made at a time, by how many workers, or how often the job was killed.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow.parquet as pq

from cxr.generate.plan import Plan


def units_by_finding(plan: Plan) -> dict[str, range]:
    """The units that hold each finding's candidates."""
    table = pq.read_table(plan.path, columns=["finding", "unit"])
    findings, units = np.array(table["finding"].to_pylist(), str), table["unit"].to_numpy()
    names = dict.fromkeys(findings.tolist())
    own = {name: units[findings == name] for name in names}
    return {name: range(int(found.min()), int(found.max()) + 1) for name, found in own.items()}


def next_units(
    runs: Mapping[str, Sequence[int]], accepted: Mapping[int, int], given_up: Collection[int], quota: int, size: int
) -> list[int]:
    """The units to make and judge before anybody can say more; none where every finding has its quota or no candidates
    are left.

    As many as are needed if the next are accepted as often as those judged so far; at first, if all are.

    Args:
        runs: the units of each finding, in order.
        accepted: by unit that was judged, how many of its pictures.
        given_up: units that could not be made.
        size: pictures of a unit.
    """
    wanted: list[int] = []
    for units in runs.values():
        judged = [unit for unit in units if unit in accepted]
        have, last = 0, -1  # up to the unit that fills the quota, or the last judged one
        for unit in judged:
            if have >= quota:
                break
            have, last = have + accepted[unit], unit
        left = [unit for unit in units if unit not in accepted and unit not in given_up]
        skipped = [unit for unit in left if unit < last]
        share = (have + 1) / (len(judged) * size + 1)
        missing = max(0, quota - have)
        wanted += skipped + [unit for unit in left if unit > last][: math.ceil(missing / (share * size))]
    return wanted


def within_quota(accepted: np.ndarray, quota: int) -> int:
    """Of bool [N], candidates in order, how many from the first on belong to the set."""
    enough = np.flatnonzero(np.cumsum(accepted) >= quota)
    return int(enough[0]) + 1 if len(enough) else len(accepted)
