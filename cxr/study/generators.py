"""What the generators behind a study's synthetic pictures have seen of the real ones."""

import pyarrow as pa

from cxr.data.lineage import read_lineage
from cxr.data.lineage_lists import PatientLists, compare_patients
from cxr.study.arms import draw_training_set
from cxr.study.config import Arm
from cxr.study.sets import Sets


def generator_saw_more(sets: Sets, arm: Arm, lists: PatientLists) -> bool:
    """Whether an arm with a part of the real data may take pictures of a generator that saw more of them than the part.

    Only a generator that is known to have seen nobody, or none but patients of this part, did not.

    Args:
        lists: of patients whom generators were shown, see `lineage_lists.read_lists_option`.
    """
    if not arm.synthetic or not 0 < arm.real < 100:
        return False
    rows = draw_training_set(arm, sets.pool(arm), 0).real
    part = sets.real.table.take(pa.array(rows[: 0 if arm.redraw else None]))  # redrawn parts are no arm's own
    sides = [sets.sides[name] for name in sets.sides_of(arm.name)]
    found = [compare_patients(read_lineage(side.record.metrics), part, lists) for side in sides]
    return any(one.outside or one.unchecked for one in found)
