"""What a report says of the sets that it is about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from cxr.data.catalog import CatalogSet
from cxr.data.lineage import PHANTOM
from cxr.store import open_store
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms
from cxr.study.finish import of_phantoms, one_generator, settings, sources, told_source
from cxr.study.job import Job, prepare
from tests.unit.study.conftest import evaluation_of, of_record

ALONE = StudyConfig(arms=(Arm(name=BASELINE),))


def job(place: Path, real: CatalogSet, *others) -> Job:
    return prepare(open_store(str(place)), ALONE, real, *(others or (None, None)), None)


def test_patients_are_spoken_of_where_they_are_known(real_set: CatalogSet, tmp_path: Path) -> None:
    assert settings(job(tmp_path, real_set))["test"].startswith(
        "no patient of the test part is in another; bootstrap over patients"
    )
    column = real_set.table.schema.get_field_index("patient_id")
    nameless = real_set.table.set_column(column, "patient_id", pa.nulls(60, pa.string()))
    assert settings(job(tmp_path, replace(real_set, table=nameless)))["test"].startswith(
        "no picture of the test part is in another (60 of 60 name no patient); bootstrap over pictures"
    )


def test_sets_have_pictures_and_an_evaluation_has_none(
    real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path
) -> None:
    evaluation = open_store(str(tmp_path)), evaluation_of(real_set, synthetic_set)
    ours = job(tmp_path, real_set, synthetic_set, evaluation)
    told = [told_source(name, record, ours) for name, record in sources(ours).items()]
    assert [(one.name, one.pictures) for one in told] == [("real", 60), ("synthetic", 48), ("evaluation", 0)]


def test_each_synthetic_set_is_a_source_of_its_arms_and_one_run_of_a_generator(
    real_set: CatalogSet, synthetic_set: CatalogSet, stored_set, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (48, 32, 32), dtype=np.uint8)
    own = stored_set("own", pixels, finding=["normal", "pneumonia"] * 24, metrics={"patients_seen": []})
    config = StudyConfig(arms=standard_arms(only=("limited_10", "limited_25")), allow_unchecked_copies=True)
    place = open_store(str(tmp_path))
    ours = prepare(place, config, real_set, synthetic_set, None, None, {"limited_10": own})
    told = {one.name: (one.uri, one.arms) for one in (told_source(*each, ours) for each in sources(ours).items())}
    assert told["synthetic"] == (synthetic_set.store.uri, ["limited_25"]) and told["real"][1] == []
    assert told["synthetic of limited_10"] == (own.store.uri, ["limited_10"])
    assert ours.recipe["own"] == {"limited_10": own.digest}
    lines = one_generator(ours.sets.sides)
    assert len(lines) == 2 and all(line.startswith("Only one generator run stands behind") for line in lines)


def test_a_study_is_of_phantoms_where_a_model_has_learned_from_them(
    real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path
) -> None:
    ours = replace(job(tmp_path, real_set).sets, synthetic=synthetic_set)
    assert not of_phantoms(ours) and not of_phantoms(replace(ours, synthetic=None))
    learned = of_record(synthetic_set, metrics={"sources": [PHANTOM, "folder"]})
    assert of_phantoms(replace(ours, synthetic=learned)) and of_phantoms(replace(ours, real=learned, synthetic=None))
