"""From artifacts to the page's files: what is there, what is told, and what must not be."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cxr import cli
from cxr.artifact import verify
from cxr.artifact.keys import PICTURES_KEY, PLAN_KEY
from cxr.artifact.kinds import AUDIT, GENERATED_IMAGES
from cxr.artifact.metrics import LEAK, NO_LEAK, AuditMetrics
from cxr.browse import job as browse_job
from cxr.browse import sheets
from cxr.data.catalog import read_set
from cxr.data.images import GENERATED_XMP, decode_gray, fit_square
from cxr.errors import BadInput
from cxr.jobs import browse
from cxr.store import open_store, parquet
from tests.unit.browse.conftest import CANARIES, FINDINGS, PATIENT, SYNTHETIC, draw, store_record, store_set, told_in


def run(*words: object) -> int:
    return browse.main(cli.parse(browse.Args, [*map(str, words)]))


def read_columns(place: Path, number: int) -> dict[str, list]:
    """What the page knows of each picture of a set, as its script hands it over."""
    text = (place / "data" / f"{number}.js").read_text(encoding="utf-8")
    data, _ = json.loads(f"[{text.removeprefix('cxr.load(').removesuffix(');').rstrip().removesuffix(');')}]")[1:]
    values = {}
    for column in data["columns"]:
        known = column["values"]
        values[column["name"]] = (
            [known[code] if code >= 0 else None for code in column["codes"]] if "codes" in column else known
        )
    assert all(len(each) == data["count"] for each in values.values())
    return values


@pytest.fixture(scope="module")
def page(stored, tmp_path_factory) -> Path:
    """Over all but the night; its sets are real (0), synthetic (1) and clean (2)."""
    place = tmp_path_factory.mktemp("page") / "page"
    assert run(*stored.at("study", "real", "quality", "clean", "model", "synthetic"), "--out", place) == 0
    return place


def test_a_dry_run_says_what_would_be_and_writes_nothing(stored, tmp_path, capsys):
    assert run(*stored.at("real", "synthetic"), "--out", tmp_path / "page", "--dry-run") == 0
    told, count = capsys.readouterr().out, sum(len(stored.pixels[name]) for name in ("real", "synthetic"))
    assert f"makes: one page with {count} pictures (full)" in told and "\ntime: " in told
    assert not list((tmp_path / "page").rglob("*"))


def test_each_picture_and_its_thumbnail_are_of_the_row(page, stored):
    for number, name in enumerate(("real", "synthetic")):
        sheet = decode_gray((page / "sheets" / str(number) / "00000.jpg").read_bytes(), "sheet").astype(float)
        for row, pixels in enumerate(stored.pixels[name]):
            file = (page / "pictures" / str(number) / f"{row:06d}.png").read_bytes()
            assert np.array_equal(decode_gray(file, "picture"), pixels)
            top, left = (sheets.SIDE * at for at in divmod(row, sheets.ACROSS))
            cut = sheet[top : top + sheets.SIDE, left : left + sheets.SIDE]
            wanted = fit_square(pixels, sheets.SIDE, "keep").astype(float)
            assert np.corrcoef(cut.ravel(), wanted.ravel())[0, 1] > 0.95


def test_what_is_known_of_each_picture(page):
    real, synthetic, clean = (read_columns(page, number) for number in range(3))
    assert real["split"][:3] == ["train", "validation", "test"] and real["patient"][2] == f"{PATIENT}-1"
    assert real["text"][0] == "a report" and "status" not in real and "seed" not in real
    assert synthetic["finding"][:2] == [["effusion"], ["normal heart"]] and synthetic["text"][1] == "X-ray 1"
    assert synthetic["seed"] == [str(2**62 + row) for row in range(SYNTHETIC)]  # more digits than a browser's numbers
    assert synthetic["status"][:3] == ["quarantined", "not judged", "accepted"]
    assert synthetic["nearest"][4:6] == ["real-0003", "real-0004"] and synthetic["score"][0] == 0.9
    assert synthetic["nearest_row"][4:6] == [3, 4]
    assert set(clean["status"]) == {"accepted"} and clean["nearest"][2:4] == ["real-0003", "real-0004"]
    assert "split" not in synthetic and "patient" not in synthetic


def test_a_page_that_shows_patients_says_so_first(page):
    text = (page / "index.html").read_text(encoding="utf-8")
    told = text.index("Stays with its owner")
    assert told < text.index("<h1>") and "real shows X-rays of patients" in text
    assert "synthetic shows 1 flagged as near-duplicates of training pictures" in text and "clean shows" not in text
    assert "<b>0.1</b>" not in text and "&lt;b&gt;0.1" in text  # what records say is text


def test_synthetic_pictures_alone_name_no_patient_and_no_place(stored, tmp_path, capsys):
    """Nor what stands in the files: their pixels go along, and the mark."""
    assert run(*stored.at("synthetic", "model", "study"), "--out", tmp_path / "page") == 0
    told = {path: path.read_bytes() for path in (tmp_path / "page").rglob("*") if path.is_file()}
    places = [*CANARIES, str(stored.root), str(tmp_path), "commitment"]
    assert not [(path, word) for path, data in told.items() for word in places if word.encode() in data]
    assert all(GENERATED_XMP.encode() in data for path, data in told.items() if path.suffix == ".png")
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "no patient is named" in text and "Stays with its owner" not in text
    assert "owner" not in capsys.readouterr().out
    columns = read_columns(tmp_path / "page", 0)
    assert columns["text"][:2] == [None, "X-ray 1"] and "nearest" not in columns


def test_without_the_real_set_no_training_picture_is_named(stored, tmp_path):
    assert run(*stored.at("clean", "quality"), "--out", tmp_path / "page") == 0
    told = b"".join(path.read_bytes() for path in (tmp_path / "page").rglob("*") if path.is_file())
    assert b"real-00" not in told and b"Stays with its owner" not in told
    assert set(read_columns(tmp_path / "page", 0)["status"]) == {"accepted"}


def test_a_flagged_picture_is_taken_for_a_patients(stored, tmp_path):
    assert run(*stored.at("synthetic", "quality"), "--out", tmp_path / "page") == 0
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "Stays with its owner" in text and "synthetic shows 1 flagged" in text
    assert "real-00" not in (tmp_path / "page" / "data" / "0.js").read_text(encoding="utf-8")


def test_phantoms_are_no_patients_and_are_called_phantoms(phantoms, tmp_path):
    assert run(*phantoms.at("real", "synthetic", "quality"), "--out", tmp_path / "page") == 0
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "Stays with its owner" not in text and "phantoms" in text
    assert read_columns(tmp_path / "page", 0)["split"][0] == "train"  # of patients who were invented
    assert read_columns(tmp_path / "page", 1)["nearest_row"][0] == 3


def test_an_evaluation_without_its_set_names_nobody(stored, tmp_path):
    assert run(*stored.at("quality"), "--out", tmp_path / "page") == 0
    assert "Stays with its owner" not in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")


def test_a_picture_without_the_mark_stops_a_page_of_synthetic_ones(tmp_path, stored):
    store_set(tmp_path / "odd", GENERATED_IMAGES, draw(3, 0), lambda row: told_in(row) if row else {})
    with pytest.raises(BadInput, match="odd-0000 bears no mark of generated media"):
        run(tmp_path / "odd", "--out", tmp_path / "page")
    assert not (tmp_path / "page" / "index.html").exists()


def test_the_same_again_writes_the_same_and_a_stopped_run_goes_on(stored, page, tmp_path, monkeypatch, capsys):
    places = stored.at("real", "model", "synthetic", "clean", "quality", "study")
    assert run(*places, "--out", page) == 0 and "already there" in capsys.readouterr().out
    made, store_sheet = [], sheets.store_sheet

    def stop_at_third(store, shown, number, sheet, full, advance):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append((number, sheet))
        return store_sheet(store, shown, number, sheet, full, advance)

    monkeypatch.setattr(browse_job, "READ_THREADS", 1)
    monkeypatch.setattr(browse_job, "store_sheet", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(*places, "--out", tmp_path / "page")
    monkeypatch.setattr(browse_job, "store_sheet", lambda *words: made.append(words[2:4]) or store_sheet(*words))
    assert run(*places, "--out", tmp_path / "page") == 0
    assert made == [(0, 0), (1, 0), (2, 0)]
    # links lead to what lies beside a page, and nothing lies beside either of these
    ours, theirs = (
        {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in (page, tmp_path / "page")
    )
    assert ours == theirs and verify(open_store(str(page))).clean
    with pytest.raises(BadInput, match="holds another recipe's artifact"):
        run(*places[:2], "--out", page)


def test_of_a_large_set_some_are_drawn_and_the_page_says_so(stored, tmp_path):
    for name in ("one", "again"):
        assert run(*stored.at("synthetic"), "--out", tmp_path / name, "--most", 7, "--pictures", "thumbnails") == 0
    one, again = (read_columns(tmp_path / name, 0)["id"] for name in ("one", "again"))
    assert one == again == sorted(one) and len(one) == 7
    assert "7 of 30 pictures, drawn at random" in (tmp_path / "one" / "index.html").read_text(encoding="utf-8")
    assert not (tmp_path / "one" / "pictures").exists()
    assert run(*stored.at("real", "synthetic", "quality"), "--out", tmp_path / "judged", "--most", 3) == 0
    real, synthetic = (read_columns(tmp_path / "judged", number) for number in (0, 1))
    assert {"real-0003", "real-0004"} < set(real["id"]) and synthetic["id"][0] == "synthetic-0000"
    assert [real["id"][row] for row in synthetic["nearest_row"]] == synthetic["nearest"]


def test_a_folder_of_artifacts_is_all_of_them_and_names_tell_apart(stored, tmp_path, capsys):
    store_set(tmp_path / "out" / "nights" / "2026-11-22" / "set", GENERATED_IMAGES, draw(2, 3), told_in)
    (tmp_path / "out" / "nights" / "2026-11-21").symlink_to(stored.root / "nights" / "2026-11-21")
    open_store(str(tmp_path / "out" / "begun")).put(PLAN_KEY, b"plan")
    assert run(tmp_path / "out", "--out", tmp_path / "out" / "page") == 0
    assert "note: begun: unfinished, left out" in capsys.readouterr().err
    text = (tmp_path / "out" / "page" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<li><a href="#a\d">(.*?)</a>', text) == ["2026-11-21/set", "2026-11-22/set", "report"]
    assert run(tmp_path / "out", "--out", tmp_path / "out" / "page") == 0  # which is not taken for one of them


def test_its_own_page_is_linked_where_it_lies_beside(stored, tmp_path):
    assert run(*stored.at("quality"), "--out", tmp_path / "page") == 0
    assert "Its own page" not in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert run(*stored.at("quality"), "--out", stored.root / "beside") == 0
    assert 'href="../quality/index.html"' in (stored.root / "beside" / "index.html").read_text(encoding="utf-8")


WRONG = {
    "": "give one place or more",
    "{root}/nowhere": "nowhere",
    "{tmp}/empty": "holds no finished artifact",
    "{tmp}/unfinished": "is unfinished",
    "{tmp}/newer": "was made by cxr 99.0, and this is",
    "{tmp}/damaged": "record.json is damaged",
    "{root}/real --most 0": "--most 0: give a number from 1",
    "{root}/real --most 1000000000": "--most 1000000000",
    "{root}/real --pictures some": "--pictures",
    "{tmp}/page": "is a page of jobs/browse.py",
}


@pytest.mark.parametrize("words", WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(words, stored, tmp_path):
    (tmp_path / "empty").mkdir()
    open_store(str(tmp_path / "unfinished")).put(PLAN_KEY, b"plan")
    store_record(tmp_path / "newer", "study", versions={"cxr": "99.0"})
    store_record(tmp_path / "page", "page of artifacts")
    open_store(str(tmp_path / "damaged")).put("record.json", b'{"kind": 1}')
    with pytest.raises(BadInput, match=WRONG[words]) as caught:
        run(*words.format(root=stored.root, tmp=tmp_path).split(), "--out", tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_damaged_pictures_and_tables_are_named(tmp_path):
    store_set(tmp_path / "set", GENERATED_IMAGES, draw(2, 0), told_in)
    (tmp_path / "set" / "images" / FINDINGS[0] / "set-0000.png").write_bytes(b"damaged")
    with pytest.raises(BadInput, match="set-0000 is not the picture that the catalog names"):
        run(tmp_path / "set", "--out", tmp_path / "page")


def test_an_audit_judges_by_all_its_detectors_and_tells_the_nearest_by_the_first(stored, tmp_path):
    synthetic, real = (read_set(open_store(place)) for place in stored.at("synthetic", "real"))
    ids = synthetic.table["image_id"].to_pylist()
    table = pa.table(
        {
            "image_id": ids,
            "nearest_by_details": [True] * SYNTHETIC,  # of the share of all pictures: says nothing of a single one
            "copied_details": [False, None, False] + [False] * (SYNTHETIC - 3),
            "score_details": [0.5] * SYNTHETIC,
            "original_details": ["real-0001"] * SYNTHETIC,
            "copied_key_points": [True, None, False] + [None] * (SYNTHETIC - 3),
            "score_key_points": [9.0] * SYNTHETIC,
            "original_key_points": ["real-0002"] * SYNTHETIC,
        }
    )
    pictures = open_store(str(tmp_path / "audit")).put(PICTURES_KEY, parquet(table))
    compared = {"real": real.digest, "synthetic": synthetic.digest}
    for name, verdict in (("audit", NO_LEAK), ("worse", LEAK)):
        metrics = AuditMetrics(verdict=verdict, risks={}, tests={}, summary=["None found."]).write()
        store_record(tmp_path / name, AUDIT, [pictures] if verdict == NO_LEAK else [], metrics, compared, seed=1)
    assert run(*stored.at("real", "synthetic"), tmp_path / "audit", "--out", tmp_path / "page") == 0
    told = read_columns(tmp_path / "page", 1)
    assert told["status"][:4] == ["quarantined", "not judged", "accepted", "accepted"]
    assert set(told["nearest"]) == {"real-0001"} and told["score"][0] == 0.5 and set(told["nearest_row"]) == {1}
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "synthetic shows 1 flagged" in text and "Unaudited" not in text and "No audit says" in text
    assert "Audit audit: no leak found at this power." in text and "lead warning" not in text
    assert run(*stored.at("synthetic"), tmp_path / "worse", "--out", tmp_path / "second") == 0
    text = (tmp_path / "second" / "index.html").read_text(encoding="utf-8")
    assert '<p class="lead warning">Verdict: leak found.' in text
