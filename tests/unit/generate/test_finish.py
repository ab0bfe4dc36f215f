"""A finished set opens as it is: tables, card and contact sheet beside pictures drawn from a generator."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torchvision
import yaml
from PIL import Image

from cxr.data.catalog import CATALOG
from cxr.generate.finish import finish
from cxr.generate.writer import read_pictures
from cxr.prompts.lists import PromptRow
from cxr.store import StoredObject, digest_of, sha256

LABELS = {"normal": 6, "pneumonia": 5}
SEVERAL = (
    PromptRow("both", "Edema+Mass", "", 2, None, view="PA", sex="F", age=58),
    PromptRow("none", "No_Finding", "", 2, None, view="AP", sex="M"),
    PromptRow("one", "Mass", "", 2, None),
)


def finished(made, source: str = "hub owner/name@abc", licence: str = "unstated", about: str = ""):
    """Finished as the job does it: the commits are swept up afterwards."""
    result = finish(made.store, made.config, made.plan, source, licence, about)
    made.store.delete([found.key for found in made.store.list("commits/")])
    return result


def card(made) -> tuple[dict, str]:
    """The card's front matter and its text."""
    _, matter, text = (made.folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(matter), text


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_the_catalog_has_the_common_schema_and_a_row_a_picture(make_set, layout: str) -> None:
    made = make_set(layout)
    finished(made, licence="Apache-2.0")
    table = pq.read_table(made.folder / "catalog.parquet")
    assert table.schema.equals(CATALOG)
    rows = [row for unit in range(made.plan.units) for row in made.reader.rows(unit)]
    for line, row in zip(table.to_pylist(), rows, strict=True):
        assert (line["image_id"], line["finding"], line["text"]) == (row["image_id"], row["finding"], row["prompt"])
        assert (made.folder / line["key"]).is_file()
        assert (line["licence"], line["patient_id"], line["split"]) == ("Apache-2.0", None, None)
        if layout == "folder":
            assert line["sha256"] == sha256((made.folder / line["key"]).read_bytes())


def test_the_metadata_names_files_that_exist(make_set) -> None:
    made = make_set("folder")
    finished(made)
    lines = [json.loads(line) for line in (made.folder / "images" / "metadata.jsonl").open(encoding="utf-8")]
    assert len(lines) == 11
    for line in lines:
        file = made.folder / "images" / line["file_name"]
        assert sha256(file.read_bytes()) == line["sha256"]
        assert file.parent.name == line["finding"]
    assert lines[-1]["prompt"] == 'pneumonia, "severe", in both lungs — ähnlich'


@pytest.mark.parametrize(("layout", "payload"), [("folder", "images/*/*.png"), ("shards", "shards/*.parquet")])
def test_what_was_made_is_the_digest_over_the_stored_files(make_set, layout: str, payload: str) -> None:
    made = make_set(layout)
    told, _ = finished(made)
    held = {path.relative_to(made.folder).as_posix(): path.read_bytes() for path in made.folder.glob(payload)}
    assert told.count == 11
    assert told.bytes == sum(map(len, held.values()))
    assert told.digest == digest_of((key, sha256(data)) for key, data in held.items())


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_every_other_object_is_named_with_size_and_digest(make_set, layout: str) -> None:
    made = make_set(layout)
    _, objects = finished(made)
    others = [p for p in made.folder.rglob("*") if p.is_file() and p.parent.parent.name != "images"]
    held = [StoredObject(str(p.relative_to(made.folder)), p.stat().st_size, sha256(p.read_bytes())) for p in others]
    assert sorted(objects, key=lambda o: o.key) == sorted(held, key=lambda o: o.key)


def test_finishing_again_gives_the_same_bytes(make_set) -> None:
    made = make_set("folder")
    first = finish(made.store, made.config, made.plan, "x", "unstated", "")
    assert finish(made.store, made.config, made.plan, "x", "unstated", "") == first


def test_the_contact_sheet_shows_the_first_of_each_finding(make_set) -> None:
    made = make_set("folder")
    finished(made)
    sheet = Image.open(made.folder / "contact_sheet.png")
    assert (sheet.mode, sheet.size) == ("L", (6 * 128, 2 * (128 + 20)))
    row = made.reader.rows(0)[0]
    first = Image.open(made.folder / "images" / row["finding"] / f"{row['image_id']}.png")
    shown = sheet.crop((0, 20, 128, 148))
    assert shown.tobytes() == first.resize((128, 128), Image.Resampling.LANCZOS).tobytes()
    corner = np.asarray(sheet.crop((5 * 128, 148 + 20, 6 * 128, 2 * 148)))
    assert (corner == 255).all(), "pneumonia has five pictures only"


def test_the_contact_sheet_calls_the_set_unaudited(make_set, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "cxr.generate.finish.contact_sheet", lambda files, totals, about: told.extend(about.values()) or b""
    )
    finished(make_set("folder"))
    assert len(told) == 2 and all(text.startswith("unaudited, ") and ': "' in text for text in told)


def test_a_set_of_many_findings_has_a_sheet_of_the_first_20(make_set) -> None:
    made = make_set("folder", tuple(PromptRow(f"p{i}", f"class {i}", "", 1, None) for i in range(25)))
    finished(made)
    assert Image.open(made.folder / "contact_sheet.png").size == (128, 20 * 188)  # three lines of text


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_the_card_counts_warns_and_can_be_read_by_the_hub(make_set, layout: str) -> None:
    made = make_set(layout)
    finished(made)
    matter, text = card(made)
    assert matter["license"] == "other"
    assert {"image-classification", "text-to-image"} == set(matter["task_categories"])
    assert "# 11 synthetic chest X-rays" in text
    assert "| normal | 6 |" in text and "| pneumonia | 5 |" in text
    assert "Not for clinical use" in text
    assert "hub owner/name@abc" in text and "phantoms" not in text


def test_the_card_names_the_embedded_model_and_says_what_it_is_told_about_patients(make_set) -> None:
    made = make_set("folder")
    finished(made, source="embedded", licence="Apache-2.0", about="None is of a patient.")
    matter, text = card(made)
    assert matter["license"] == "apache-2.0" and "Model: tiny" in text
    assert "from a text. None is of a patient. Not for clinical use." in text


def test_it_opens_as_an_image_folder_with_torchvision(make_set) -> None:
    made = make_set("folder")
    finished(made)
    opened = torchvision.datasets.ImageFolder(made.folder / "images")
    assert opened.classes == list(LABELS)
    assert {name: opened.targets.count(i) for i, name in enumerate(opened.classes)} == LABELS
    assert opened[0][0].size == (64, 64)


def test_it_opens_as_an_image_folder_with_datasets(make_set, datasets) -> None:
    made = make_set("folder")
    finished(made)
    opened = datasets.load_dataset("imagefolder", data_dir=str(made.folder / "images"), split="train")
    check_rows(made, opened)


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_the_whole_set_opens_by_its_card(make_set, datasets, layout: str) -> None:
    made = make_set(layout)
    finished(made)
    opened = datasets.load_dataset(str(made.folder))
    assert set(opened) == {"train"}
    check_rows(made, opened["train"])


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_several_findings_a_picture_open_with_their_lists(make_set, datasets, layout: str) -> None:
    made = make_set(layout, SEVERAL)
    finished(made)
    catalog = pq.read_table(made.folder / "catalog.parquet")
    names = ("finding", "present", "absent", "uncertain", "view", "sex", "age")
    wanted = {line["image_id"]: {name: line[name] for name in names} for line in catalog.to_pylist()}
    assert next(iter(wanted.values())) == {
        "finding": "Edema+Mass", "present": ["Edema", "Mass"], "absent": [], "uncertain": [],
        "view": "PA", "sex": "F", "age": 58,
    }  # fmt: skip
    places = [("parquet", {"data_files": str(made.folder / "shards" / "*.parquet")})]
    if layout == "folder":
        places = [("imagefolder", {"data_dir": str(made.folder / "images")})]
        opened = torchvision.datasets.ImageFolder(made.folder / "images")
        assert opened.classes == ["Edema+Mass", "Mass", "No_Finding"] and len(opened) == 6
    for kind, place in [*places, (str(made.folder), {})]:
        rows = datasets.load_dataset(kind, split="train", **place)
        assert {row["image_id"]: {name: row[name] for name in names} for row in rows} == wanted
        assert rows[0]["image"].size == (64, 64)
    _, text = card(made)
    assert "| Mass | 4 |" in text and "| No_Finding | 2 |" in text


def test_a_finding_named_as_a_split_stays_a_finding(make_set, datasets) -> None:
    """`datasets` takes a folder called test for a split, unless the card says otherwise."""
    made = make_set("folder", tuple(PromptRow(f"p{i}", ("test", "other")[i % 2], "", 1, None) for i in range(6)))
    finished(made)
    opened = datasets.load_dataset(str(made.folder))
    assert {split: len(rows) for split, rows in opened.items()} == {"train": 6}


def check_rows(made, opened) -> None:
    """Every picture is there once, with its own pixels, finding and prompt."""
    held = {
        row["image_id"]: row | {"data": data}
        for unit in range(made.plan.units)
        for row in made.reader.rows(unit)
        for data in [bytes_of(made, row)]
    }
    assert opened.num_rows == len(held) == 11
    for shown in opened:
        row = held.pop(shown["image_id"])
        assert (shown["finding"], shown["prompt"], shown["seed"]) == (row["finding"], row["prompt"], row["seed"])
        assert shown["image"].tobytes() == Image.open(io.BytesIO(row["data"])).tobytes()


def bytes_of(made, row: dict) -> bytes:
    return next(iter(read_pictures(made.store, made.config.layout, [row])))


def test_a_missing_commit_is_not_papered_over(make_set) -> None:
    made = make_set("folder")
    made.store.delete(["commits/00000001.json"])
    with pytest.raises(KeyError, match="00000001"):
        finish(made.store, made.config, made.plan, "x", "unstated", "")
    assert not (made.folder / "catalog.parquet").exists()
