"""A model of a part of the patients: the study's part, whom it counts as seen, and what cannot be a part."""

import dataclasses
import json
from pathlib import Path

import pytest

from cxr.data.lineage import hashed_id, pseudonymise, record_lineage
from cxr.data.lineage_key import owner_key
from cxr.errors import BadInput
from cxr.finetune import finish, runs
from cxr.finetune.config import FinetuneConfig, identity
from cxr.finetune.job import FinetuneJob
from cxr.finetune.part import parse_patients
from cxr.study.config import StudyConfig, standard_arms
from cxr.study.sets import draw_training_sets, match_sets

SCORES = {"mse": 0.5, "ssim": 0.25, "psnr": 11.0, "kid": 1.5}


def patients(ready: FinetuneJob, *parts: str) -> set[str]:
    names = zip(*(ready.data.table[name].to_pylist() for name in ("image_id", "patient_id")), strict=True)
    of_image = {image: hashed_id(patient, image) for image, patient in names}
    return {of_image[row["image_id"]] for row in ready.plan.to_pylist() if row["split"] in parts}


@pytest.mark.parametrize("percent", [30, 50])
def test_the_part_is_the_studys(prepared, percent: int) -> None:
    """The set has 14 patients to train on, all with both findings; a study's arm has the same part of them."""
    ready = prepared(patients=percent)
    control = standard_arms(only=("limited_10",))[-1].model_copy(update={"name": "part", "real": percent})
    config = StudyConfig(arms=(standard_arms()[0], control), seeds=(5,))
    rows = draw_training_sets(match_sets(ready.data, None, config), config)["part", 5].real
    studied = {hashed_id(ready.data.table["patient_id"][int(row)].as_py(), "") for row in rows}
    assert patients(ready, "train", "validation") == studied and len(studied) == round(14 * percent / 100)


def test_some_of_the_part_choose_and_the_validation_part_is_not_used(prepared) -> None:
    ready = prepared(patients=50)
    trained, chosen, tested = (patients(ready, part) for part in ("train", "validation", "test"))
    assert trained and chosen and not trained & chosen
    assert not chosen & {hashed_id(f"p{number}", "") for number in (14, 15)}  # the set's validation part
    assert tested == {hashed_id(f"p{number}", "") for number in range(16, 20)}


def test_a_smaller_part_lies_in_a_larger_one_and_a_whole_one_is_as_before(prepared) -> None:
    parts = [patients(prepared(patients=percent), "train", "validation") for percent in (25, 50)]
    assert parts[0] < parts[1]
    whole = prepared()
    assert (
        patients(whole, "validation") == {hashed_id("p14", ""), hashed_id("p15", "")}
        and len(patients(whole, "train")) == 14
    )


def test_named_patients_are_the_part_and_the_recipe_does_not_name_them(prepared) -> None:
    ready = prepared(names=frozenset({"p1", "p2", "p3"}), batch=2)
    assert patients(ready, "train", "validation") == {hashed_id(name, "") for name in ("p1", "p2", "p3")}
    assert ready.recipe["patients"].startswith("sha256 of the list ") and "p1" not in ready.recipe["patients"].split()


@pytest.mark.parametrize(
    ("names", "told"),
    [({"p1", "p16"}, "1 of 2 are no patients of the training part"), ({"p1"}, "fewer than two of them")],
)
def test_who_cannot_be_a_part(prepared, names: set[str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        prepared(names=frozenset(names))


def test_a_share_or_a_file(tmp_path: Path) -> None:
    assert parse_patients("10%") == (10.0, None) and parse_patients("2.5%") == (2.5, None)
    file = tmp_path / "ids.txt"
    file.write_text("p1\n\np2\r\n")
    assert parse_patients(str(file)) == (100.0, frozenset({"p1", "p2"}))
    file.write_text("\n")
    for text, told in ((str(file), "names nobody"), ("10", "a share as 10%, or a file"), ("x%", "a share as 10%")):
        with pytest.raises(BadInput, match=told):
            parse_patients(text)


def test_recipes_of_whole_training_parts_stay_what_they_were() -> None:
    """Else a run that version 0.1 began could not go on."""
    assert not {"patients", "subset_seed"} & set(identity(FinetuneConfig(), "m", "d"))
    assert identity(FinetuneConfig(patients=10), "m", "d")["patients"] == 10


def test_record_and_card_say_which_part_and_count_no_one_else_as_seen(prepared, tmp_path: Path) -> None:
    ready = prepared(patients=50)
    ready = dataclasses.replace(ready, model=dataclasses.replace(ready.model, lineage=()))
    ready.begin(ready.plan)
    history = [{"step": 0, **SCORES}, {"step": 4, "loss": 1.0, **SCORES}]
    result = runs.Result(4, 2, SCORES, SCORES, {}, [], history, "a GPU")
    ready.store.put(runs.result_key(runs.FINAL), json.dumps(dataclasses.asdict(result)).encode())
    record = ready.make(lambda: finish.complete(ready, {"total": 1.0}))
    assert (record.recipe["patients"], record.recipe["subset_seed"]) == (50, FinetuneConfig().subset_seed)
    assert record.metrics["lineage"] == record_lineage(
        (pseudonymise(patients(ready, "train", "validation"), owner_key()),)
    )
    card = (tmp_path / "out" / finish.CARD_KEY).read_text()
    assert "Of 7 patients alone (50 % of the training part, subset seed" in card
