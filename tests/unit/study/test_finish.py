"""What a report says of the sets that it is about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from cxr.data.catalog import CatalogSet
from cxr.data.labels import Labels
from cxr.data.lineage import PHANTOM
from cxr.store import open_store
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms
from cxr.study.finish import (
    audit_verdicts,
    describe_audits,
    describe_generators,
    describe_settings,
    describe_source,
    list_sources,
    read_audits,
)
from cxr.study.job import StudyJob, prepare
from cxr.study.origins import origins, studies_phantoms
from cxr.study.pages.grid import read_first_pictures
from tests.stored import label_columns
from tests.unit.study.conftest import audit_of, evaluation_of, of_record

ALONE = StudyConfig(arms=(Arm(name=BASELINE),))


def job(place: Path, real: CatalogSet, synthetic: CatalogSet | None = None, evaluation=None, audit=None) -> StudyJob:
    return prepare(open_store(str(place)), ALONE, real, synthetic, evaluation, None, audit=audit)


def test_patients_are_spoken_of_where_they_are_known(real_set: CatalogSet, tmp_path: Path) -> None:
    assert describe_settings(job(tmp_path, real_set))["test"].startswith(
        "no patient of the test part is in another; bootstrap over patients"
    )
    column = real_set.table.schema.get_field_index("patient_id")
    nameless = real_set.table.set_column(column, "patient_id", pa.nulls(60, pa.string()))
    assert describe_settings(job(tmp_path, replace(real_set, table=nameless)))["test"].startswith(
        "no picture of the test part is in another (60 of 60 name no patient); bootstrap over pictures"
    )


def test_sets_have_pictures_and_an_evaluation_has_none(
    real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path
) -> None:
    evaluation = open_store(str(tmp_path)), evaluation_of(real_set, synthetic_set)
    ours = job(tmp_path, real_set, synthetic_set, evaluation)
    told = [describe_source(name, *found, ours) for name, found in list_sources(ours).items()]
    assert [(one.name, one.pictures) for one in told] == [("real", 60), ("synthetic", 48), ("evaluation", 0)]


def test_each_synthetic_set_is_a_source_of_its_arms_and_one_run_of_a_generator(
    real_set: CatalogSet, synthetic_set: CatalogSet, stored_set, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (48, 32, 32), dtype=np.uint8)
    own = stored_set("own", pixels, finding=["normal", "pneumonia"] * 24, metrics={"patients_seen": []})
    config = StudyConfig(arms=standard_arms(only=("limited_10", "limited_25")), allow_unchecked_copies=True)
    place = open_store(str(tmp_path))
    ours = prepare(place, config, real_set, synthetic_set, None, None, {"limited_10": own})
    told = {
        one.name: (one.uri, one.arms)
        for one in (describe_source(name, *found, ours) for name, found in list_sources(ours).items())
    }
    assert told["synthetic"] == (synthetic_set.store.uri, ["limited_25"]) and told["real"][1] == []
    assert told["synthetic of limited_10"] == (own.store.uri, ["limited_10"])
    assert ours.recipe["own"] == {"limited_10": own.digest}
    lines = describe_generators(ours.sets)
    assert len(lines) == 2 and all(line.startswith("Only one generator run stands behind") for line in lines)


def test_a_set_is_called_unaudited_unless_its_audit_is_given(
    real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path
) -> None:
    store, evaluation = open_store(str(tmp_path)), evaluation_of(real_set, synthetic_set)
    plain = job(tmp_path, real_set, synthetic_set, (store, evaluation))
    assert audit_verdicts(read_audits(plain)) == {"audit of synthetic pictures": "unaudited"}
    assert describe_audits(read_audits(plain))[0].startswith(
        "Unaudited: nothing here tests by attack what the set 'synthetic' gives"
    )
    audit = store, audit_of(real_set, synthetic_set)
    audited = job(tmp_path, real_set, synthetic_set, (store, evaluation), audit)
    found = read_audits(audited)
    assert audit_verdicts(found) == {"audit of synthetic pictures": "leak found"}
    assert describe_audits(found) == ["Audit of the set 'synthetic': leak found. Inference: leak found by: one."]
    assert list(list_sources(audited))[-1] == "audit"
    assert describe_source("audit", *audit, audited).pictures == 0
    assert "audit" not in plain.recipe and audited.recipe == plain.recipe | {"audit": audit[1].recipe_digest}


def test_a_picture_of_two_findings_stands_in_the_rows_of_both(stored_set) -> None:
    """As the page shows training pictures; of a picture without any, in that of no finding."""
    labels = [Labels(("edema", "mass"), ()), Labels(("mass",), ("edema",)), Labels((), None)]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    found = stored_set("several", pixels, split=["train"] * 3, **label_columns(labels, ("edema", "mass")))
    both, mass, none = (found.store.get(key) for key in found.table["key"].to_pylist())
    assert read_first_pictures(found, "edema") == [both] and read_first_pictures(found, "mass") == [both, mass]
    assert read_first_pictures(found, "No_Finding") == [none]


def of_sources(found: CatalogSet, *sources: str) -> CatalogSet:
    """The set with its rows' sources, which are repeated."""
    column = [sources[row % len(sources)] for row in range(len(found.table))]
    place = found.table.schema.get_field_index("source")
    return replace(found, table=found.table.set_column(place, "source", pa.array(column, pa.string())))


def test_a_study_is_of_phantoms_where_its_test_pictures_are(real_set: CatalogSet, synthetic_set: CatalogSet) -> None:
    """A generator that began with phantoms does not make real test pictures phantoms; each part says what it is."""
    real = of_sources(real_set, "folder")
    learned = of_record(synthetic_set, metrics={"sources": ["folder", PHANTOM]})
    assert not studies_phantoms(real) and studies_phantoms(of_sources(real_set, PHANTOM))
    assert studies_phantoms(learned)  # as the real set of a study: its pictures are of nobody
    assert origins(real, {"synthetic": learned}) == {
        "test pictures": "from folder: no phantoms among them",
        "training pictures": "from folder: no phantoms among them",
        "synthetic pictures": f"generated by a model that learned from folder, {PHANTOM}",
    }
    assert origins(learned, {})["test pictures"].startswith("generated by a model")


def test_only_the_test_part_decides(real_set: CatalogSet) -> None:
    split = real_set.table["split"].to_pylist()
    mixed = of_sources(real_set, *("folder" if part == "test" else PHANTOM for part in split))
    told, real = origins(mixed, {}), "from folder: no phantoms among them"
    assert not studies_phantoms(mixed)
    assert (told["test pictures"], told["training pictures"]) == (real, f"from {PHANTOM}")
