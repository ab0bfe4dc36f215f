"""How long a night would take is said by the last one, and by nothing else."""

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.artifact.kinds import GENERATED_IMAGES
from cxr.nightly.forecast import NO_NIGHT, forecast_time
from cxr.nightly.places import below
from cxr.nightly.pointer import Pointer
from cxr.store import Store


def test_a_night_takes_as_long_as_the_steps_of_the_last_one_that_are_to_do(store: Store) -> None:
    latest = Pointer(night="2026-11-20", set="nights/2026-11-20/set", data="data/d", model="models/m")
    took = {latest.set: 30.0, latest.data: 500.0, "nights/2026-11-20/evaluation": 40.0}
    for place, seconds in took.items():
        record = Record(kind=GENERATED_IMAGES, recipe={}, recipe_digest=recipe_digest({}),
                        objects=[], made=Made(count=1, bytes=1, digest="0"), timings={"total": seconds})  # fmt: skip
        commit_record(below(store, place), record)
    told, seconds = forecast_time(store, ["generate", "evaluate"], latest)
    assert told == "about 70 s, as these steps took for the night of 2026-11-20"
    told, _ = forecast_time(store, ["generate", "audit"], latest)
    assert told.startswith("about 30 s") and told.endswith("of audit it is not known, as that night had none")


def test_before_a_first_night_no_time_is_told(store: Store) -> None:
    assert forecast_time(store, ["ingest", "generate"], Pointer()) == (NO_NIGHT, None)
