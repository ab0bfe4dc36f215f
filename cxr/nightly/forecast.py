"""How long a night would take: as its steps took when they were last done."""

from collections.abc import Iterable

from cxr.artifact import read_record
from cxr.nightly.places import AUDIT, EVALUATION, NIGHTS, below
from cxr.nightly.pointer import Pointer
from cxr.report.forecast import about
from cxr.store import Store

NO_NIGHT = (
    "not known before a first night; the --dry-run of ingest and of generate tell theirs now, those of the other steps "
    "once the set is there"
)


def forecast_time(root: Store, steps: Iterable[str], latest: Pointer) -> tuple[str, float | None]:
    """Of these steps, in words and in seconds where they are known, by the records of the last night that passed."""
    if not latest.night:
        return NO_NIGHT, None
    night = f"{NIGHTS}{latest.night}"
    places = {
        "ingest": latest.data, "finetune": latest.model, "generate": latest.set,
        "evaluate": f"{night}/{EVALUATION}", "audit": f"{night}/{AUDIT}",
    }  # fmt: skip
    records = {step: read_record(below(root, places[step])) for step in steps}
    seconds = sum(record.timings["total"] for record in records.values() if record)
    unknown = [step for step, record in records.items() if not record]
    without = f"; of {', '.join(unknown)} it is not known, as that night had none" if unknown else ""
    return f"{about(seconds)}, as these steps took for the night of {latest.night}{without}", seconds
