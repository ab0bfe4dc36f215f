"""What a study refuses before it trains anything, and what it reads."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cxr.data.catalog import CatalogSet
from cxr.data.lineage import hashed
from cxr.errors import BadInput
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.sets import check_evaluation, check_no_twins, checked_protocol, compared, drawn_by, held_out, load
from tests.unit.study.conftest import evaluation_of, of_record

CONFIG = StudyConfig(arms=(Arm(name=BASELINE), Arm(name="synth_50", synthetic=50)), seeds=(1, 2))


def only(found: CatalogSet, column: str, *values: str) -> CatalogSet:
    return replace(found, table=found.table.filter(pc.is_in(found.table[column], pa.array(values))))


def test_classes_by_name_and_the_positive_one_last(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    assert compared(real_set, synthetic_set, CONFIG).classes == ("normal", "pneumonia")
    turned = compared(real_set, synthetic_set, CONFIG.model_copy(update={"positive": "normal"}))
    assert turned.classes == ("pneumonia", "normal")
    assert (turned.labels == 1 - compared(real_set, synthetic_set, CONFIG).labels).all()


def test_one_class_only(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="shows normal only"):
        compared(only(real_set, "finding", "normal"), None, CONFIG)


@pytest.mark.parametrize(("kept", "missing"), [(("train", "test"), "validation"), (("train", "validation"), "test")])
def test_a_part_is_missing(real_set: CatalogSet, kept: tuple[str, ...], missing: str) -> None:
    with pytest.raises(BadInput, match=f"has no {missing} part"):
        compared(only(real_set, "split", *kept), None, CONFIG)


def test_a_patient_in_two_parts_is_refused(real_set: CatalogSet) -> None:
    column = real_set.table.schema.get_field_index("patient_id")
    patients = real_set.table["patient_id"].to_pylist()

    def named(names: list[str | None]) -> CatalogSet:
        return replace(real_set, table=real_set.table.set_column(column, "patient_id", pa.array(names, pa.string())))

    with pytest.raises(BadInput, match="1 patients are in more than one part"):
        compared(named([*patients[:-1], patients[0]]), None, ALONE)
    compared(named([None] * len(patients)), None, ALONE)


ALONE = StudyConfig(arms=(Arm(name=BASELINE),))


def unsplit(found: CatalogSet, rows: list[int]) -> CatalogSet:
    """These rows of the set, as a job leaves them that generates: without a split and without patients."""
    table = found.table.take(pa.array(rows))
    for column in ("split", "patient_id"):
        place = table.schema.get_field_index(column)
        table = table.set_column(place, column, pa.nulls(len(rows), pa.string()))
    return replace(found, table=table)


def test_a_set_without_a_split_is_split_by_picture_each_finding_alike(real_set: CatalogSet) -> None:
    sets = compared(unsplit(real_set, list(range(60))), None, ALONE)
    assert sets.split_here
    parts = {part: list(sets.counts(part).values()) for part in ("train", "validation", "test")}
    assert parts == {"train": [21, 21], "validation": [3, 3], "test": [6, 6]}
    assert len(held_out(sets).image_ids) == 12


def test_that_split_does_not_depend_on_the_order_of_the_rows(real_set: CatalogSet) -> None:
    def split(rows: list[int]) -> dict[str, str]:
        sets = compared(unsplit(real_set, rows), None, ALONE)
        return dict(zip(sets.real.table["image_id"].to_pylist(), sets.split.tolist(), strict=True))

    assert split(list(range(60))) == split(list(reversed(range(60))))


def test_beside_synthetic_pictures_a_set_needs_its_own_split(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="has no train part"):
        compared(unsplit(real_set, list(range(60))), synthetic_set, CONFIG)


def test_a_set_with_a_split_keeps_it(real_set: CatalogSet) -> None:
    sets = compared(real_set, None, ALONE)
    assert not sets.split_here
    assert sets.split.tolist() == real_set.table["split"].to_pylist()


def test_too_few_pictures_to_split(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="'pneumonia' has images of 2"):
        compared(unsplit(real_set, [0, 1, 4, 5, 8, 2, 3]), None, ALONE)


def test_labels_differ(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    other = pa.array(["Pneumonia"] * len(synthetic_set.table))
    table = synthetic_set.table.set_column(2, "finding", other)
    with pytest.raises(BadInput, match="shows Pneumonia, --real has normal, pneumonia"):
        compared(real_set, replace(synthetic_set, table=table), CONFIG)


def test_a_picture_in_both_sets(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="60 pictures are in --real and in --synthetic"):
        compared(real_set, real_set, CONFIG)


def test_arms_need_synthetic_pictures(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="--synthetic"):
        compared(real_set, None, CONFIG)


def test_an_unknown_positive_finding(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="--positive 'covid': give one of two"):
        compared(real_set, synthetic_set, CONFIG.model_copy(update={"positive": "covid"}))


def test_a_generator_that_saw_test_patients_is_refused(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    seen = {"patients_seen": [hashed("p1", ""), hashed("p29", "")]}  # of train, of test
    sets = compared(real_set, of_record(synthetic_set, metrics=seen), CONFIG)
    with pytest.raises(BadInput, match=r"trained on 1 patients of the test part.*--allow-seen-patients"):
        checked_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set))
    allowed = CONFIG.model_copy(update={"allow_seen_patients": True})
    [said] = checked_protocol(sets, allowed, evaluation_of(real_set, synthetic_set))
    assert "1 patients of the test part" in said


def test_a_generator_of_which_nothing_is_known_is_refused(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets = compared(real_set, of_record(synthetic_set, metrics={}), CONFIG)
    with pytest.raises(BadInput, match="not known which patients"):
        checked_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set))


def test_copies_must_have_been_looked_for(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets = compared(real_set, synthetic_set, CONFIG)
    with pytest.raises(BadInput, match="nobody looked for copies"):
        checked_protocol(sets, CONFIG, None)
    assert checked_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set)) == []
    cleared = of_record(
        synthetic_set, kind="images without copies", recipe={"real": real_set.digest}, metrics={"patients_seen": []}
    )
    assert checked_protocol(compared(real_set, cleared, CONFIG), CONFIG, None) == []
    other = of_record(cleared, recipe={"real": "of another set"})
    with pytest.raises(BadInput, match="nobody looked for copies"):
        checked_protocol(compared(real_set, other, CONFIG), CONFIG, None)


def test_an_evaluation_that_could_not_tell_near_copies_has_not_looked(
    real_set: CatalogSet, synthetic_set: CatalogSet
) -> None:
    sets, evaluation = compared(real_set, synthetic_set, CONFIG), evaluation_of(real_set, synthetic_set)
    untold = evaluation.model_copy(update={"metrics": {**evaluation.metrics, "copies": None}})
    with pytest.raises(BadInput, match=r"near-copies could not be told.*--allow-unchecked-copies"):
        checked_protocol(sets, CONFIG, untold)


def test_an_evaluation_of_other_sets_is_refused(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets = compared(real_set, synthetic_set, CONFIG)
    with pytest.raises(BadInput, match="of other sets"):
        check_evaluation("there", evaluation_of(synthetic_set, real_set), sets)
    with pytest.raises(BadInput, match="no finished evaluation"):
        check_evaluation("there", None, sets)


def test_only_used_pictures_are_read_each_once(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets, read = compared(real_set, synthetic_set, CONFIG), []
    drawn = drawn_by(sets, CONFIG)
    used = np.unique(np.concatenate([*(d.synthetic for d in drawn.values()), np.arange(60)]))
    pixels = load(sets, used, 32, read.append)
    assert sum(read) == len(pixels) == len(used) < len(sets.labels)
    assert (pixels[:60] == load(sets, np.arange(60), 32, read.append)).all()


def test_the_same_pixels_in_both_sets_are_refused() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 8), dtype=np.uint8)
    check_no_twins(pixels[:4], pixels[4:])
    with pytest.raises(BadInput, match="2 synthetic pictures are real ones"):
        check_no_twins(pixels[:4], pixels[2:])


def test_test_pictures_with_their_patients_and_groups(real_set: CatalogSet) -> None:
    found = held_out(compared(real_set, None, StudyConfig(arms=(Arm(name=BASELINE),))))
    assert found.patients[:3] == ["p24", "p24", "p25"]
    assert found.groups["age"][:3] == ["60-69", "60-69", "70-79"] and set(found.groups["view"]) == {"AP", "PA"}
    assert len(found.image_ids) == len(found.labels) == 12
