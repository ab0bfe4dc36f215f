"""A published set holds every picture, opens with the tools of its form, and nothing private goes along."""

import io
import json
import tarfile
import zlib
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from cxr import cli
from cxr.artifact import read_record, verify
from cxr.artifact.kinds import INGESTED_IMAGES
from cxr.data.catalog import read_images, read_set
from cxr.data.images import GENERATED_MEDIA
from cxr.errors import BadInput
from cxr.jobs import publish
from cxr.publish import job
from cxr.publish.formats import FORMAT_NAMES
from cxr.store import open_store
from tests.unit.publish.conftest import CANARIES, HOME, draw, store_audit, store_evaluation, store_generated

NONE = "no leak found at this power"


def run(*words: object) -> int:
    return publish.main(cli.parse(publish.Args, [*map(str, words)]))


def card_of(place: Path) -> tuple[dict, str]:
    _, matter, text = (place / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(matter), text


def inside(path: Path) -> bytes:
    """All that a reader of a file can find: of Parquet also its columns and schema, uncompressed."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return data + repr((table.schema.metadata, table.to_pylist())).encode()
    return data


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_nothing_private_goes_along(generated, audit, tmp_path, form, capsys):
    out = tmp_path / "out"
    evaluation = store_evaluation(tmp_path / "evaluation", generated.found.digest)
    assert run(generated.uri, "--to", out, "--as", form, "--audit", audit, "--evaluation", evaluation) == 0
    assert "1 prompts name what looks like a path" in capsys.readouterr().err
    private = [*CANARIES, str(tmp_path)]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert files and not [(path, word) for path in files for word in private if word.encode() in inside(path)]
    real = draw(1, 99)[0]
    assert not any(np.array_equal(picture, real) for picture in stored_pictures(out, form).values())
    record = read_record(open_store(str(out)))
    assert not {"lineage", "patients_seen"} & {*record.metrics} and not record.inputs
    assert record.device == "" and record.metrics["sources"] == ["NIH ChestX-ray14", "a local source"]


@pytest.mark.parametrize("form", ["parquet", "dicom"])
def test_a_dry_run_says_what_would_be_and_writes_nothing(generated, audit, tmp_path, form, capsys):
    place = tmp_path / "out"
    assert run(generated.uri, "--to", place, "--as", form, "--audit", audit, "--dry-run") == 0
    told, count = capsys.readouterr().out, len(generated.pixels)
    assert f"reads: {count} synthetic pictures (" in told and "audited\nmakes: " in told
    assert f"as {form}" in told and "\ntime: " in told and f"nothing was written to {place}" in told
    assert not list(place.rglob("*"))


def load(kind: str, place: Path, **files: str) -> datasets.Dataset:
    """As a reader of the card loads it, with a cache beside the place."""
    return datasets.load_dataset(kind, split="train", cache_dir=str(place.parent / "hf"), **files)


def stored_pictures(out: Path, form: str) -> dict[str, np.ndarray]:
    """Every picture below a place, by its id, as the tools of the form read it."""
    if form == "parquet":
        rows = load("parquet", out, data_files=f"{out}/data/*.parquet")
        return {row["image_id"]: np.asarray(row["image"]) for row in rows}
    if form == "imagefolder":
        rows = load("imagefolder", out, data_dir=f"{out}/images")
        return {row["image_id"]: np.asarray(row["image"]) for row in rows}
    if form == "dicom":
        import pydicom

        return {path.stem: pydicom.dcmread(path).pixel_array for path in out.rglob("*.dcm")}
    found = {}
    for path in out.glob("data/*.tar"):
        with tarfile.open(path) as tar:
            found |= {
                member.name[:-4]: np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())))
                for member in tar
                if member.name.endswith(".png")
            }
    return found


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_every_picture_arrives_and_the_same_command_finishes_at_once(generated, audit, tmp_path, form, capsys):
    out = tmp_path / "out"
    words = (generated.uri, "--to", out, "--as", form, "--audit", audit)
    assert run(*words) == 0
    found = stored_pictures(out, form)
    ids = generated.found.table["image_id"].to_pylist()
    assert sorted(found) == sorted(ids)
    assert all(np.array_equal(found[image_id], generated.pixels[row]) for row, image_id in enumerate(ids))
    assert verify(open_store(str(out))).clean
    assert not (out / "plan.parquet").exists() and not (out / "commits").exists()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(*words) == 0 and "already there: 7 pictures" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize("form", ["parquet", "webdataset", "dicom"])
def test_a_stopped_run_goes_on_and_the_bytes_are_those_of_an_undisturbed_one(
    generated, audit, tmp_path, form, monkeypatch
):
    monkeypatch.setattr(job, "UNIT", 3)
    monkeypatch.setattr(job, "FILES_UNIT", 3)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    words = (generated.uri, "--as", form, "--audit", audit, "--to")
    assert run(*words, whole) == 0
    calls, real = [], job.store_unit

    def stop(one, number):
        calls.append(number)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        real(one, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(job, "store_unit", stop)
        run(*words, stopped)
    assert not (stopped / "record.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(job, "store_unit", lambda one, number: (calls.append(number), real(one, number)))
        assert run(*words, stopped) == 0
    assert calls == [0, 1, 1, 2]
    assert contents(stopped) == contents(whole)


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_labels_prompts_and_marks_in_each_form(generated, audit, tmp_path):
    for form in FORMAT_NAMES:
        assert run(generated.uri, "--to", tmp_path / form, "--as", form, "--audit", audit) == 0
    rows = load("parquet", tmp_path, data_files=f"{tmp_path}/parquet/data/*.parquet")
    assert rows.features["label"].names == ["effusion", "nodule", "normal"]
    assert (rows[1]["label"], rows[1]["present"], rows[1]["absent"]) == (1, ["nodule"], ["effusion", "normal"])
    assert (rows[0]["prompt"], rows[1]["prompt"]) == (None, "Chest X-ray, AP/PA: nodule")
    assert (rows[0]["view"], rows[0]["sex"], rows[0]["age"]) == ("PA", "F", 58)
    with tarfile.open(tmp_path / "webdataset/data/train-00000-of-00001.tar") as tar:
        members = tar.getmembers()
        assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
        assert [member.name for member in members[:2]] == [f"{0:032x}.png", f"{0:032x}.json"]
        png, told = (tar.extractfile(member).read() for member in members[2:4])
    assert json.loads(told)["finding"] == "nodule" and GENERATED_MEDIA.encode() in png
    line = json.loads((tmp_path / "imagefolder/images/metadata.jsonl").read_text().splitlines()[1])
    assert (line["file_name"], line["finding"]) == (f"nodule/{1:032x}.png", "nodule")
    again = read_set(open_store(str(tmp_path / "parquet")))  # what is published is a set like others
    assert np.array_equal(read_images(again.store, again.table, 24)[:, :, 2:22], generated.pixels)


def test_the_card_says_what_was_looked_for_and_what_was_not(generated, audit, tmp_path):
    out = tmp_path / "out"
    evaluation = store_evaluation(tmp_path / "evaluation", generated.found.digest)
    assert run(generated.uri, "--to", out, "--audit", audit, "--evaluation", evaluation, "--licence", "cc-by-4.0") == 0
    matter, text = card_of(out)
    assert matter["license"] == "cc-by-4.0" and matter["pretty_name"] == "7 synthetic chest X-rays"
    assert f"| near duplicates | {NONE} |" in text and "**Not tested:** canaries." in text
    assert "Of 9 pictures none was flagged." in text and "Unaudited" not in text
    assert "| Fréchet distance (embedded) | 12.5 | 11 (10 to 12.5) | 3 (2.5 to 3.5) |" in text
    assert "| nodule | 2 | 40 | 28.5 (27.5 to 30) |" in text  # the interval is for the corrected value
    assert "| nodule | 0.8 (0.7 to 0.9) | - | 75.0 % (50.0 to 90.0) |" in text
    assert "Model: a local model. Licence of the model: Apache-2.0." in text and "NIH ChestX-ray14" in text
    assert "| nodule | 2 |" in text and "safe" not in text.casefold()


def test_an_unaudited_set_is_called_so_in_title_and_card(generated, tmp_path):
    out = tmp_path / "out"
    assert run(generated.uri, "--to", out, "--unaudited") == 0
    matter, text = card_of(out)
    assert matter["pretty_name"] == "7 synthetic chest X-rays (unaudited)" and matter["license"] == "apache-2.0"
    assert "# 7 synthetic chest X-rays (unaudited)\n" in text and "**Unaudited: nothing here tests" in text
    assert read_record(open_store(str(out))).metrics["audit"] == "unaudited"


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ({"near_duplicates": "leak found", "membership": NONE}, "leak found by near duplicates"),
        ({"membership": "not tested"}, "no test could be made"),
    ],
)
def test_a_set_whose_audit_did_not_pass_is_refused_and_nothing_is_written(generated, tmp_path, verdicts, told):
    audit = store_audit(tmp_path / "failed", generated.found.digest, **verdicts)
    with pytest.raises(BadInput, match=told):
        run(generated.uri, "--to", tmp_path / "out", "--audit", audit)
    assert not (tmp_path / "out").exists()


def test_an_undecided_audit_passes_and_the_card_has_its_verdict(generated, tmp_path):
    audit = store_audit(tmp_path / "undecided", generated.found.digest, membership="not decided at this power")
    assert run(generated.uri, "--to", tmp_path / "out", "--audit", audit) == 0
    assert "| membership | not decided at this power |" in card_of(tmp_path / "out")[1]


def test_a_set_goes_to_a_bucket_as_to_a_folder(generated, audit, tmp_path, s3):
    assert run(generated.uri, "--to", tmp_path / "out", "--as", "webdataset", "--audit", audit) == 0
    assert run(generated.uri, "--to", "s3://bucket/a", "--as", "webdataset", "--audit", audit) == 0
    store = open_store("s3://bucket/a")
    assert {key: store.get(key) for key, _ in store.list()} == contents(tmp_path / "out")


def test_what_cannot_be_published_is_refused(generated, audit, tmp_path):
    real = store_generated(tmp_path / "real", draw(3, 1), INGESTED_IMAGES)
    named = store_generated(tmp_path / "named", draw(3, 2), patient_id=["p", "q", "r"])
    other = store_audit(tmp_path / "other", "0" * 64, near_duplicates=NONE)
    for words, told in (
        ((generated.uri,), "--audit: missing"),
        ((generated.uri, "--audit", other), "is of another set"),
        ((generated.uri, "--audit", generated.uri), "no finished audit"),
        ((generated.uri, "--audit", audit, "--unaudited"), "is of a set without an audit"),
        ((generated.uri, "--audit", audit, "--evaluation", audit), "no finished evaluation"),
        ((generated.uri, "--audit", audit, "--licence", HOME), "give a name such as"),
        ((real.uri, "--unaudited"), "holds ingested images, not a generated set"),
        ((named.uri, "--unaudited"), "has a patient_id"),
    ):
        with pytest.raises(BadInput, match=told):
            run(*words, "--to", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_picture_without_the_mark_of_generated_media_is_not_published(tmp_path):
    mixed = store_generated(tmp_path / "mixed", draw(4), unmarked=[2])
    with pytest.raises(BadInput, match="may be a real picture"):
        run(mixed.uri, "--to", tmp_path / "out", "--unaudited")
    assert not [
        path for path in (tmp_path / "out").rglob("*") if zlib.crc32(path.read_bytes()) and path.suffix == ".png"
    ]
    assert not (tmp_path / "out/record.json").exists()
