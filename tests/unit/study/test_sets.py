"""What a study refuses before it trains anything, and what it reads."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from cxr.data.catalog import CATALOG, CatalogSet
from cxr.data.labels import Labels
from cxr.data.lineage import TrainingPatients, hashed_id, pseudonymise, record_lineage
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import NO_LISTS
from cxr.errors import BadInput
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms
from cxr.study.generators import generator_saw_more
from cxr.study.protocol import check_audit, check_evaluation, check_protocol
from cxr.study.sets import check_no_twins, draw_training_sets, load, match_sets
from cxr.study.tested import read_test_set
from tests.stored import label_columns
from tests.unit.study.conftest import audit_of, evaluation_of, of_record

CONFIG = StudyConfig(arms=(Arm(name=BASELINE), Arm(name="synth_50", synthetic=50)), seeds=(1, 2))


def only(found: CatalogSet, column: str, *values: str) -> CatalogSet:
    return replace(found, table=found.table.filter(pc.is_in(found.table[column], pa.array(values))))


def test_classes_by_name_and_the_positive_one_last(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    assert match_sets(real_set, synthetic_set, CONFIG).classes == ("normal", "pneumonia")
    turned = match_sets(real_set, synthetic_set, CONFIG.model_copy(update={"positive": "normal"}))
    assert turned.classes == ("pneumonia", "normal")
    assert (turned.labels == 1 - match_sets(real_set, synthetic_set, CONFIG).labels).all()


def test_one_class_only(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="shows normal only"):
        match_sets(only(real_set, "finding", "normal"), None, CONFIG)


@pytest.mark.parametrize(("kept", "missing"), [(("train", "test"), "validation"), (("train", "validation"), "test")])
def test_a_part_is_missing(real_set: CatalogSet, kept: tuple[str, ...], missing: str) -> None:
    with pytest.raises(BadInput, match=f"has no {missing} part"):
        match_sets(only(real_set, "split", *kept), None, CONFIG)


def test_a_patient_in_two_parts_is_refused(real_set: CatalogSet) -> None:
    column = real_set.table.schema.get_field_index("patient_id")
    patients = real_set.table["patient_id"].to_pylist()

    def named(names: list[str | None]) -> CatalogSet:
        return replace(real_set, table=real_set.table.set_column(column, "patient_id", pa.array(names, pa.string())))

    with pytest.raises(BadInput, match="1 patients are in more than one part"):
        match_sets(named([*patients[:-1], patients[0]]), None, ALONE)
    match_sets(named([None] * len(patients)), None, ALONE)


ALONE = StudyConfig(arms=(Arm(name=BASELINE),))


def unsplit(found: CatalogSet, rows: list[int]) -> CatalogSet:
    """These rows of the set, as a job leaves them that generates: without a split and without patients."""
    table = found.table.take(pa.array(rows))
    for column in ("split", "patient_id"):
        place = table.schema.get_field_index(column)
        table = table.set_column(place, column, pa.nulls(len(rows), pa.string()))
    return replace(found, table=table)


def test_a_set_without_a_split_is_split_by_picture_each_finding_alike(real_set: CatalogSet) -> None:
    sets = match_sets(unsplit(real_set, list(range(60))), None, ALONE)
    assert sets.split_here
    parts = {part: list(sets.counts(part).values()) for part in ("train", "validation", "test")}
    assert parts == {"train": [21, 21], "validation": [3, 3], "test": [6, 6]}
    assert len(read_test_set(sets).image_ids) == 12


def test_that_split_does_not_depend_on_the_order_of_the_rows(real_set: CatalogSet) -> None:
    def split(rows: list[int]) -> dict[str, str]:
        sets = match_sets(unsplit(real_set, rows), None, ALONE)
        return dict(zip(sets.real.table["image_id"].to_pylist(), sets.split.tolist(), strict=True))

    assert split(list(range(60))) == split(list(reversed(range(60))))


def test_beside_synthetic_pictures_a_set_needs_its_own_split(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="has no train part"):
        match_sets(unsplit(real_set, list(range(60))), synthetic_set, CONFIG)


def test_a_set_with_a_split_keeps_it(real_set: CatalogSet) -> None:
    sets = match_sets(real_set, None, ALONE)
    assert not sets.split_here
    assert sets.split.tolist() == real_set.table["split"].to_pylist()


def test_too_few_pictures_to_split(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="'pneumonia' has images of 2"):
        match_sets(unsplit(real_set, [0, 1, 4, 5, 8, 2, 3]), None, ALONE)


def test_labels_differ(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    other = pa.array(["Pneumonia"] * len(synthetic_set.table))
    table = synthetic_set.table.set_column(CATALOG.get_field_index("finding"), "finding", other)
    with pytest.raises(BadInput, match="shows Pneumonia, --real has normal, pneumonia"):
        match_sets(real_set, replace(synthetic_set, table=table), CONFIG)


def test_a_picture_in_both_sets(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="60 pictures are in --real and in --synthetic"):
        match_sets(real_set, real_set, CONFIG)


def test_arms_need_synthetic_pictures(real_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="--synthetic"):
        match_sets(real_set, None, CONFIG)


def test_an_unknown_positive_finding(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    with pytest.raises(BadInput, match="--positive 'covid': give one of two"):
        match_sets(real_set, synthetic_set, CONFIG.model_copy(update={"positive": "covid"}))


def shown_to(*patients: str) -> TrainingPatients:
    return pseudonymise([hashed_id(name, "") for name in patients], owner_key())


@pytest.mark.parametrize("version", ["0.1", "with the model's list"])
def test_a_generator_that_saw_test_patients_is_refused(
    real_set: CatalogSet, synthetic_set: CatalogSet, version: str
) -> None:
    seen = shown_to("p1", "p29")  # of train, of test
    metrics, lists = {"lineage": record_lineage((seen,))}, {seen.commitment: seen}
    if version == "0.1":
        metrics, lists = {"patients_seen": [hashed_id("p1", ""), hashed_id("p29", "")]}, NO_LISTS
    sets, evaluation = match_sets(real_set, of_record(synthetic_set, metrics=metrics), CONFIG), evaluation_of
    with pytest.raises(BadInput, match=r"trained on 1 patients of the test part.*--allow-seen-patients"):
        check_protocol(sets, CONFIG, evaluation(real_set, synthetic_set), lists)
    allowed = CONFIG.model_copy(update={"allow_seen_patients": True})
    [said] = check_protocol(sets, allowed, evaluation(real_set, synthetic_set), lists)
    assert "1 patients of the test part" in said


def test_a_generator_that_saw_the_training_and_validation_patients_passes_without_a_list(
    real_set: CatalogSet, synthetic_set: CatalogSet
) -> None:
    seen = {"lineage": record_lineage((shown_to(*(f"p{number}" for number in range(24))),))}
    sets = match_sets(real_set, of_record(synthetic_set, metrics=seen), CONFIG)
    assert check_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set)) == []


def test_what_cannot_be_checked_is_refused_or_told(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    seen = {"lineage": record_lineage((shown_to("p0", "p1"),))}
    sets = match_sets(real_set, of_record(synthetic_set, metrics=seen), CONFIG)
    with pytest.raises(BadInput, match=r"cannot be checked: .*give --lineage .*--allow-seen-patients"):
        check_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set))
    allowed = CONFIG.model_copy(update={"allow_seen_patients": True})
    [said] = check_protocol(sets, allowed, evaluation_of(real_set, synthetic_set))
    assert "cannot be checked" in said


def test_a_generator_of_which_nothing_is_known_is_refused(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets = match_sets(real_set, of_record(synthetic_set, metrics={}), CONFIG)
    with pytest.raises(BadInput, match="not known which patients"):
        check_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set))


def test_copies_must_have_been_looked_for(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets = match_sets(real_set, synthetic_set, CONFIG)
    with pytest.raises(BadInput, match="nobody looked for copies"):
        check_protocol(sets, CONFIG, None)
    assert check_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set)) == []
    cleared = of_record(
        synthetic_set, kind="images without copies", recipe={"real": real_set.digest}, metrics={"patients_seen": []}
    )
    assert check_protocol(match_sets(real_set, cleared, CONFIG), CONFIG, None) == []
    other = of_record(cleared, recipe={"real": "of another set"})
    with pytest.raises(BadInput, match="nobody looked for copies"):
        check_protocol(match_sets(real_set, other, CONFIG), CONFIG, None)


def test_an_evaluation_that_found_copies_does_not_clear_the_set(
    real_set: CatalogSet, synthetic_set: CatalogSet
) -> None:
    sets = match_sets(real_set, synthetic_set, CONFIG)
    with pytest.raises(BadInput, match=r"3 of its pictures are like training pictures; give the set without them"):
        check_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set, copies=3))
    with pytest.raises(BadInput, match="near-duplicates could not be told"):
        check_protocol(sets, CONFIG, evaluation_of(real_set, synthetic_set, copies=None))
    allowed = CONFIG.model_copy(update={"allow_unchecked_copies": True})
    [said] = check_protocol(sets, allowed, evaluation_of(real_set, synthetic_set, copies=3))
    assert "3 of its pictures" in said


def test_an_evaluation_that_could_not_tell_near_duplicates_has_not_looked(
    real_set: CatalogSet, synthetic_set: CatalogSet
) -> None:
    sets, evaluation = match_sets(real_set, synthetic_set, CONFIG), evaluation_of(real_set, synthetic_set)
    untold = evaluation.model_copy(update={"metrics": {**evaluation.metrics, "copies": None}})
    with pytest.raises(BadInput, match=r"near-duplicates could not be told.*--allow-unchecked-copies"):
        check_protocol(sets, CONFIG, untold)


def test_an_evaluation_of_other_sets_is_refused(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets = match_sets(real_set, synthetic_set, CONFIG)
    with pytest.raises(BadInput, match="of other sets"):
        check_evaluation("there", evaluation_of(synthetic_set, real_set), sets)
    with pytest.raises(BadInput, match="no finished evaluation"):
        check_evaluation("there", None, sets)


def test_an_audit_is_of_just_these_sets(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets = match_sets(real_set, synthetic_set, CONFIG)
    audit = audit_of(real_set, synthetic_set)
    assert check_audit("there", audit, sets) is audit
    with pytest.raises(BadInput, match=r"--audit there: no finished audit; give the --out of jobs/audit.py"):
        check_audit("there", evaluation_of(real_set, synthetic_set), sets)
    with pytest.raises(BadInput, match="--audit there: is of other sets than --real and --synthetic; audit these"):
        check_audit("there", audit_of(real_set, real_set), sets)
    with pytest.raises(BadInput, match="is of other sets"):
        check_audit("there", audit, match_sets(real_set, None, ALONE))


def test_only_used_pictures_are_read_each_once(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    sets, read = match_sets(real_set, synthetic_set, CONFIG), []
    drawn = draw_training_sets(sets, CONFIG)
    used = np.unique(np.concatenate([*(d.synthetic for d in drawn.values()), np.arange(60)]))
    pixels = load(sets, used, 32, read.append)
    assert sum(read) == len(pixels) == len(used) < len(sets.labels)
    assert (pixels[:60] == load(sets, np.arange(60), 32, read.append)).all()


def test_the_same_pixels_in_both_sets_are_refused() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 8), dtype=np.uint8)
    check_no_twins(pixels[:4], pixels[4:])
    with pytest.raises(BadInput, match="2 synthetic pictures are real ones"):
        check_no_twins(pixels[:4], pixels[2:])


LIMITED = StudyConfig(arms=standard_arms(only=("limited_25", "synth_100")), seeds=(1, 2))


@pytest.fixture(scope="module")
def own_set(stored_set) -> CatalogSet:
    pixels = np.random.default_rng(3).integers(0, 256, (48, 32, 32), dtype=np.uint8)
    return stored_set("own", pixels, finding=["normal", "pneumonia"] * 24, metrics={"patients_seen": []})


def test_an_arm_takes_its_own_set_and_others_the_main_one(
    real_set: CatalogSet, synthetic_set: CatalogSet, own_set: CatalogSet
) -> None:
    sets = match_sets(real_set, synthetic_set, LIMITED, {"limited_25": own_set})
    assert list(sets.sides) == ["synthetic", "synthetic of limited_25"]
    found = draw_training_sets(sets, LIMITED)
    assert (found["limited_25", 1].synthetic >= 108).all() and len(found["limited_25", 1].synthetic) == 40
    assert (found["synth_100", 1].synthetic < 108).all() and (found["synth_100", 1].synthetic >= 60).all()
    pixels = load(sets, np.array([0, 61, 109]), 32, lambda count: None)
    alone = load(match_sets(real_set, own_set, LIMITED), np.array([61]), 32, lambda count: None)
    assert np.array_equal(pixels[2], alone[0]) and not np.array_equal(pixels[1], alone[0])


def test_an_own_set_is_checked_as_the_main_one_is(
    real_set: CatalogSet, synthetic_set: CatalogSet, own_set: CatalogSet
) -> None:
    with pytest.raises(BadInput, match=r"--synthetic limited_10=.*did you mean limited_25"):
        match_sets(real_set, synthetic_set, LIMITED, {"limited_10": own_set})
    column = pa.array(["Pneumonia"] * len(own_set.table))
    strange = replace(own_set, table=own_set.table.set_column(CATALOG.get_field_index("finding"), "finding", column))
    with pytest.raises(BadInput, match="shows Pneumonia"):
        match_sets(real_set, synthetic_set, LIMITED, {"limited_25": strange})
    with pytest.raises(BadInput, match="60 pictures are in --real and in --synthetic"):
        match_sets(real_set, synthetic_set, LIMITED, {"limited_25": real_set})
    with pytest.raises(BadInput, match="synth_100 need synthetic"):
        match_sets(real_set, None, LIMITED, {"limited_25": own_set})
    cleared = of_record(synthetic_set, kind="images without copies", recipe={"real": real_set.digest})
    with pytest.raises(BadInput, match=f"{own_set.store.uri}: nobody looked for copies"):
        check_protocol(match_sets(real_set, cleared, LIMITED, {"limited_25": own_set}), LIMITED, None)
    seen = of_record(own_set, metrics={"patients_seen": [hashed_id("p29", "")]})
    allowed = LIMITED.model_copy(update={"allow_unchecked_copies": True})
    with pytest.raises(BadInput, match="trained on 1 patients of the test part"):
        check_protocol(match_sets(real_set, synthetic_set, LIMITED, {"limited_25": seen}), allowed, None)


def test_a_generator_that_saw_more_than_its_arm_is_named(
    real_set: CatalogSet, synthetic_set: CatalogSet, own_set: CatalogSet
) -> None:
    """limited_25 has 5 of the 20 patients of the training part. Whoever saw them all, or is not known, saw more."""
    [arm] = (arm for arm in LIMITED.arms if arm.name == "limited_25")
    everyone = [hashed_id(f"p{number}", "") for number in range(20)]
    rows = draw_training_sets(match_sets(real_set, synthetic_set, LIMITED), LIMITED)["limited_25", 1].real
    part = sorted({hashed_id(real_set.table["patient_id"][int(row)].as_py(), "") for row in rows})
    assert 4 <= len(part) <= 6

    def saw(seen: list[str] | None, own: list[str] | None = None) -> bool:
        main, other = (
            of_record(found, metrics={} if patients is None else {"patients_seen": patients})
            for found, patients in ((synthetic_set, seen), (own_set, own))
        )
        sets = match_sets(real_set, main, LIMITED, {"limited_25": other} if own is not None else {})
        return generator_saw_more(sets, arm, NO_LISTS)

    assert saw(everyone) and saw(None) and not saw([])
    assert not saw(everyone, part) and not saw(everyone, part[:1]) and not saw(everyone, [])
    assert saw(everyone, everyone) and saw([], [*part, hashed_id("p25", "")])
    whole = next(one for one in LIMITED.arms if one.name == "synth_100")
    assert not generator_saw_more(match_sets(real_set, of_record(synthetic_set, metrics={}), LIMITED), whole, NO_LISTS)


def test_redrawn_parts_change_with_the_seed_and_no_generator_was_kept_to_them(
    real_set: CatalogSet, synthetic_set: CatalogSet
) -> None:
    """Parts of one seed lie in each other, so that an arm and its control have the same."""
    shares = {"real_10": 10, "real_25": 25, "real_50": 50}
    alone = [Arm(name=name, real=share, redraw=True) for name, share in shares.items()]
    mixed = Arm(name="mixed", real=50, synthetic=50, redraw=True, control="real_50")
    config = StudyConfig(arms=(Arm(name=BASELINE), *alone, mixed), seeds=(1, 2, 3, 4))
    sets = match_sets(real_set, of_record(synthetic_set, metrics={"patients_seen": [hashed_id("p0", "")]}), config)
    drawn = {name: set(draw.real.tolist()) for name, draw in draw_training_sets(sets, config).items()}
    for seed in config.seeds:
        assert drawn["real_10", seed] < drawn["real_25", seed] < drawn["real_50", seed] == drawn["mixed", seed]
        assert len(drawn["real_50", seed]) == 20 and drawn["real_50", seed] < drawn[BASELINE, seed]
    assert len({frozenset(drawn["real_50", seed]) for seed in config.seeds}) == 4
    assert generator_saw_more(sets, mixed, NO_LISTS)
    with pytest.raises(ValidationError, match=r"its control real_50 is not the same .*with redraw"):
        StudyConfig(arms=(Arm(name=BASELINE), Arm(name="real_50", real=50), mixed))


def test_one_finding_against_its_absence_is_taken_and_several_only_where_the_real_pictures_show_several(
    stored_set,
) -> None:
    rng, config = np.random.default_rng(0), StudyConfig(arms=(Arm(name=BASELINE),))

    def stored(findings: tuple[str, ...], *labels: Labels) -> CatalogSet:
        rows = [labels[row // 2 % len(labels)] for row in range(24)]
        split = ["train" if row < 12 else "validation" if row < 18 else "test" for row in range(24)]
        pixels = rng.integers(0, 256, (24, 8, 8), dtype=np.uint8)
        return stored_set("several", pixels, split=split, **label_columns(rows, findings))

    several = stored(("edema", "mass"), Labels(("edema", "mass"), ()), Labels((), None))
    edema = stored(("edema",), Labels(("edema",), ()), Labels((), None))
    with pytest.raises(
        BadInput, match=r"can show several of 2 findings, those of --real one each; generate it with --like"
    ):
        match_sets(edema, several, config)
    assert match_sets(several, None, config).classes == ("edema", "mass")
    assert match_sets(edema, None, config).classes == ("No_Finding", "edema")
    doubtful = stored(("edema",), Labels(("edema",), ()), Labels((), None), Labels())
    with pytest.raises(BadInput, match="of 8 pictures nobody knows whether they show edema"):
        match_sets(doubtful, None, config)


def test_test_pictures_with_their_patients_and_groups(real_set: CatalogSet) -> None:
    found = read_test_set(match_sets(real_set, None, StudyConfig(arms=(Arm(name=BASELINE),))))
    assert found.patients[:3] == ["p24", "p24", "p25"]
    assert found.groups["age"][:3] == ["60-69", "60-69", "70-79"] and set(found.groups["view"]) == {"AP", "PA"}
    assert len(found.image_ids) == len(found.labels) == 12
