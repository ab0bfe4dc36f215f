"""What the generators behind a study's synthetic pictures have seen of the real ones."""

import pyarrow as pa

from cxr.data.catalog import CatalogSet
from cxr.data.lineage import SEEN, hashed
from cxr.study.arms import drawn
from cxr.study.config import Arm
from cxr.study.sets import Sets


def generator_saw_more(sets: Sets, arm: Arm) -> bool:
    """Whether an arm with a part of the real data may take pictures of a generator that saw more of them than the part.

    Only a generator that is known to have seen nobody, or none but patients of this part, did not.
    """
    if not arm.synthetic or not 0 < arm.real < 100:
        return False
    seen = seen_by_generator(sets.sides[sets.side_of(arm.name)])
    rows = sets.real.table.take(pa.array(drawn(arm, sets.pool(arm.name), 0).real)).to_pylist()
    return seen is None or not seen <= {hashed(row["patient_id"], row["image_id"]) for row in rows}


def seen_by_generator(found: CatalogSet) -> set[str] | None:
    """The patients, as `hashed`, of whom its pictures have learned; None if they are not known."""
    seen = found.record.metrics.get(SEEN)
    return None if seen is None else set(seen)
