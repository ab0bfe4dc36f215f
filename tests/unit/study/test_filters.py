"""Arms of a filtered set: what filtering does is told from what having fewer pictures does."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from cxr import recipes
from cxr.artifact.keys import CANDIDATES_KEY
from cxr.artifact.metrics import Filtered, FilterMetrics
from cxr.data.candidates import CANDIDATES
from cxr.data.catalog import CATALOG, CatalogSet
from cxr.errors import BadInput
from cxr.store import parquet
from cxr.study.arms import draw_training_set
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms
from cxr.study.differences import list_pairs
from cxr.study.protocol import unchecked_copies
from cxr.study.sets import load, match_sets
from cxr.study.summary import arm_label
from tests.unit.study.conftest import CLASSES

NAMES = ("synth_100", "unfiltered_100", "filtered_100", "random_drop_100")
CONFIG = StudyConfig(arms=standard_arms(only=NAMES), seeds=(1, 2))
MADE, REFUSED = 120, 40  # of every three pictures of a finding one


@pytest.fixture(scope="module")
def filtered(stored_set, real_set: CatalogSet) -> CatalogSet:
    """A set as `generate --accept` leaves it: 80 accepted pictures, and 40 refused ones beside them."""
    pixels = np.random.default_rng(3).integers(0, 256, (MADE, 32, 32), dtype=np.uint8)
    whole = stored_set("chosen", pixels, finding=CLASSES * (MADE // 2), metrics={"patients_seen": []})
    accepted = np.arange(MADE) % 3 > 0
    table = whole.table.append_column("accepted", pa.array(accepted))
    reasons = [None if one else "label" for one in accepted]
    extra = {"reason": pa.array(reasons, pa.string())} | {
        name: pa.nulls(MADE, pa.float32()) for name in ("probability", "distance", "likeness", "parts")
    }
    for name, column in extra.items():
        table = table.append_column(name, column)
    whole.store.put(CANDIDATES_KEY, parquet(table.cast(CANDIDATES)))
    told = Filtered(
        tests=["label", "copies"], real=real_set.digest, quota=40, made={}, accepted={}, refused={"label": 40}
    )
    metrics = whole.record.metrics | FilterMetrics(filter=told).write()
    record = whole.record.model_copy(update={"metrics": metrics})
    return replace(whole, record=record, table=table.filter(table["accepted"]).select(CATALOG.names))


def drawn(real_set: CatalogSet, filtered: CatalogSet, seed: int = 1) -> dict[str, np.ndarray]:
    """Rows of each arm's synthetic pictures."""
    sets = match_sets(real_set, filtered, CONFIG)
    return {arm.name: draw_training_set(arm, sets.pool(arm), seed).synthetic for arm in CONFIG.arms}


def test_usual_arms_take_accepted_pictures_alone_and_as_many_as_ever(real_set, filtered) -> None:
    sets, found = match_sets(real_set, filtered, CONFIG), drawn(real_set, filtered)
    refused = sets.part("refused for synthetic")
    assert len(refused) == REFUSED and len(sets.part("synthetic")) == MADE - REFUSED
    assert len(found["synth_100"]) == len(found["unfiltered_100"]) == 40
    assert not set(found["synth_100"]) & set(refused)
    assert 5 < len(set(found["unfiltered_100"]) & set(refused)) < 22  # about a third


def test_filtered_pictures_are_those_of_the_unfiltered_without_the_refused(real_set, filtered) -> None:
    sets = match_sets(real_set, filtered, CONFIG)
    for seed in range(5):
        found = drawn(real_set, filtered, seed)
        whole, refused = set(found["unfiltered_100"]), set(sets.part("refused for synthetic"))
        assert set(found["filtered_100"]) == whole - refused
        fewer = set(found["random_drop_100"])
        assert fewer < whole and fewer & refused and len(fewer) == len(found["filtered_100"])
        for label in (0, 1):
            counts = [(sets.labels[list(rows)] == label).sum() for rows in (fewer, whole - refused)]
            assert counts[0] == counts[1]
    assert set(drawn(real_set, filtered, 1)["random_drop_100"]) != set(drawn(real_set, filtered, 2)["random_drop_100"])


def test_what_is_dropped_at_random_is_compared_with_what_the_filter_drops() -> None:
    pairs = list_pairs(CONFIG.arms)
    assert ("filtered_100", "random_drop_100") in pairs and ("unfiltered_100", "real_short_50") in pairs
    assert recipes.STUDY["filters"]().primary == "synth_100"
    assert {arm.name for arm in standard_arms()}.isdisjoint(NAMES[1:])
    labels = [arm_label(arm).partition("synthetic")[2] for arm in CONFIG.arms if arm.filter]
    assert labels == [" as made", " less the refused", " less as many at random as are refused"]


def test_another_arm_is_no_such_control() -> None:
    base, dropped = Arm(name=BASELINE), Arm(name="fewer", synthetic=50, filter="random_drop")
    with pytest.raises(ValueError, match="its control fewer is not the same real data alone"):
        StudyConfig(arms=(base, dropped, Arm(name="a", synthetic=100, filter="drop", control="fewer")))
    with pytest.raises(ValueError, match="filter needs synthetic pictures"):
        Arm(name="a", filter="drop")


def test_a_set_that_was_not_filtered_is_refused(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match=r"has no refused pictures .*--without unfiltered_100,filtered_100,"):
        match_sets(real_set, synthetic_set, CONFIG)


def test_refused_pictures_are_read_from_where_they_lie(real_set: CatalogSet, filtered: CatalogSet) -> None:
    sets = match_sets(real_set, filtered, CONFIG)
    rows = np.concatenate([sets.part("train")[:2], sets.part("synthetic")[:2], sets.part("refused for synthetic")[:2]])
    assert load(sets, rows, 32, lambda count: None).shape == (6, 32, 32)


def test_a_filter_that_looked_for_copies_among_the_same_pictures_has_looked(real_set, filtered, synthetic_set) -> None:
    assert unchecked_copies(real_set, filtered, None) == ""
    assert "nobody looked" in unchecked_copies(real_set, synthetic_set, None)
    record = filtered.record.model_copy(update={"metrics": {"filter": None}})
    assert "nobody looked" in unchecked_copies(real_set, replace(filtered, record=record), None)
