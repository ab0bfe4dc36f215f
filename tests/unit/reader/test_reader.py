"""A blind study from two sets to its page: what a reader gets tells nothing but pixels, what comes back is checked."""

import base64
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from cxr import cli
from cxr.data.images import decode_gray, encode_png, fit_square
from cxr.errors import BadInput
from cxr.jobs import reader
from cxr.reader.page import BLOCK
from cxr.reader.score import MOST_PICTURES
from tests.unit.reader.simulated import draw_scores, rate

CUTS = (-1.0, 0.0, 0.5, 1.0, 2.0)


def run(*words: object) -> int:
    return reader.main(cli.parse(reader.Args, [*map(str, words)]))


@pytest.fixture
def sets(stored_set) -> tuple[str, str]:
    """Noisy real pictures of 40 px, two of a patient, held out from the 61st on; flat synthetic ones of 32 px."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (120, 40, 40), dtype=np.uint8)
    flat = np.repeat(np.repeat(rng.integers(0, 256, (60, 4, 4), dtype=np.uint8), 8, 1), 8, 2)
    names = ["effusion", "normal", "normal"]
    real = stored_set(
        "real", noise, finding=names * 40, patient_id=[f"p{row // 2}" for row in range(120)],
        split=["train"] * 60 + ["test"] * 60,
    )  # fmt: skip
    return real.store.uri, stored_set("synthetic", flat, finding=names * 20).store.uri


@pytest.fixture
def study(sets, tmp_path) -> Path:
    assert run("prepare", "--real", sets[0], "--synthetic", sets[1], "--cases", 40, "--out", tmp_path / "study") == 0
    return tmp_path / "study"


def key_of(study: Path) -> dict:
    return json.loads((study / "key.json").read_text())


def truth(key: dict, name: str) -> np.ndarray:
    """Whether each place of a reader's page is synthetic."""
    return np.array([key["cases"][case]["synthetic"] for case in key["orders"][name]])


def save(study: Path, place: Path, d: float, **changes: object) -> list[str]:
    """Answers of three simulated readers, as their pages save them."""
    key, rng = key_of(study), np.random.default_rng(4)
    synthetic, real = draw_scores(rng, d, 3, 40)
    files = []
    for row, name in enumerate(key["orders"]):
        given = {True: iter(rate(synthetic[row], CUTS)), False: iter(rate(real[row], CUTS))}
        verdict = [int(next(given[case["synthetic"]])) for case in key["cases"]]
        answers = [
            {
                "case": place,
                "verdict": verdict[case],
                "realism": 0,
                "findings": key["cases"][case]["shown"],
                "comment": "",
            }
            for place, case in enumerate(key["orders"][name], 1)
        ]
        told = {
            "format": "cxr reader answers 1",
            "study": key["study"],
            "reader": name,
            "cases": 40,
            "answers": answers,
        }
        files.append(place / f"{name}.json")
        files[-1].write_text(json.dumps(told | changes))
    return [*map(str, files)]


def at_chance(features: np.ndarray, synthetic: np.ndarray) -> float:
    """AUC of a classifier on unseen cases."""
    said = cross_val_predict(LogisticRegression(), features, synthetic, cv=5, method="predict_proba")[:, 1]
    return float(roc_auc_score(synthetic, said))


def test_nothing_but_pixels_tells_which_is_which(study, sets, capsys) -> None:
    """Sizes of the stored files tell them apart at once, so the classifier works; in the page it has nothing."""
    key = key_of(study)
    features, kinds, stored = [], [], []
    for name in key["orders"]:
        page, synthetic = (study / f"{name}.html").read_text(), truth(key, name)
        blocks = [*BLOCK.finditer(page)]
        assert len(blocks) == 40 and len({len(block[0]) for block in blocks}) == 1
        assert not any(case["image_id"] in page for case in key["cases"]) and "real-0" not in page
        features += [[place, len(block[1]), place % 2] for place, block in enumerate(blocks)]
        kinds += synthetic.tolist()
        pixels = [np.frombuffer(base64.b64decode(block[1]), np.uint8).reshape(32, 32) for block in blocks]
        stored += [[len(encode_png(picture))] for picture in pixels]
    assert at_chance(np.array(stored), np.array(kinds)) == 1
    assert 0.3 < at_chance(np.array(features, float), np.array(kinds)) < 0.7
    assert len({tuple(order) for order in key["orders"].values()}) == 3


def test_orders_of_many_readers_put_no_kind_first(sets, tmp_path) -> None:
    run(
        "prepare",
        "--real",
        sets[0],
        "--synthetic",
        sets[1],
        "--cases",
        10,
        "--readers",
        40,
        "--out",
        tmp_path / "many",
    )
    key = key_of(tmp_path / "many")
    shares = np.mean([truth(key, name) for name in key["orders"]], axis=0)
    assert np.all(np.abs(shares - 0.5) < 0.32)  # four standard errors


def test_findings_match_patients_come_once_and_held_out_ones_first(study, capsys) -> None:
    cases = key_of(study)["cases"]
    for finding in ("effusion", "normal"):
        kinds = [case["synthetic"] for case in cases if case["finding"] == finding]
        assert kinds and sum(kinds) * 2 == len(kinds)
    rows = [int(case["image_id"].removeprefix("real-")) for case in cases if not case["synthetic"]]
    assert len({row // 2 for row in rows}) == len(rows) == 20
    assert sum(row >= 60 for row in rows) >= 15


def test_both_sets_pass_one_function_and_the_same_command_finishes_at_once(study, sets, capsys) -> None:
    key = key_of(study)
    blocks = BLOCK.findall((study / "reader-1.html").read_text())
    noise = np.random.default_rng(1).integers(0, 256, (120, 40, 40), dtype=np.uint8)
    for block, case in zip(blocks, key["orders"]["reader-1"], strict=True):
        kind, row = key["cases"][case]["image_id"].split("-")
        if kind == "real":
            assert base64.b64decode(block) == fit_square(noise[int(row)], 32, "keep").tobytes()
    assert run("prepare", "--real", sets[0], "--synthetic", sets[1], "--cases", 40, "--out", study) == 0
    assert "already there" in capsys.readouterr().out


def test_readers_who_see_are_found_and_guessing_ones_are_not(study, tmp_path, capsys) -> None:
    for d, said in ((2.0, "better than by chance"), (0.0, "were not shown to tell")):
        place = tmp_path / f"d{d}"
        place.mkdir()
        assert run("score", study, *save(study, place, d), "--out", place / "scores") == 0
        assert said in capsys.readouterr().out
        assert said in (place / "scores" / "index.html").read_text()
        results = json.loads((place / "scores" / "results.json").read_text())
        assert len(results["area"]) == 4 and results["kappa"]["low"] <= results["kappa"]["value"]
        assert results["seen"][0]["value"] == 0
    lines = (place / "scores" / "cases.csv").read_text().splitlines()
    wrong = [int(line.split(",")[3]) for line in lines[1:]]
    assert len(wrong) == 40 and wrong == sorted(wrong, reverse=True) and wrong[0] == 3


def test_the_page_shows_the_very_pictures_that_deceived_and_says_that_patients_are_among_them(study, tmp_path) -> None:
    files = save(study, tmp_path, 0.0)
    assert run("score", study, *files, "--out", tmp_path / "scores") == 0
    page = (tmp_path / "scores/index.html").read_text()
    assert "This page shows X-rays of patients" in page
    assert "Unaudited: nothing here tests by attack what the synthetic set gives away" in page
    key, rows = key_of(study), [*csv.DictReader((tmp_path / "scores/cases.csv").open())]
    first = next(row for row in rows if row["is"] == "synthetic")
    case = next(place for place, one in enumerate(key["cases"]) if one["image_id"] == first["image_id"])
    block = BLOCK.findall((study / "reader-1.html").read_text())[key["orders"]["reader-1"].index(case)]
    shown = re.findall(r'src="data:image/png;base64,([^"]+)" alt="[^"]*, synthetic"', page)
    assert len(shown) == min(MOST_PICTURES, sum(row["is"] == "synthetic" and row["wrong"] != "0" for row in rows))
    assert decode_gray(base64.b64decode(shown[0]), "shown").tobytes() == base64.b64decode(block)


def test_without_the_readers_pages_or_with_changed_ones_no_picture_is_shown(study, tmp_path) -> None:
    files = save(study, tmp_path, 0.0)
    (study / "reader-1.html").unlink()
    for name in ("reader-2", "reader-3"):
        with (study / f"{name}.html").open("a") as page:
            page.write(" ")
    assert run("score", study, *files, "--out", tmp_path / "scores") == 0
    page = (tmp_path / "scores/index.html").read_text()
    assert "shows X-rays of patients" not in page and page.count("data:image/png") == 2  # the plots


def test_answers_that_cannot_count_are_refused_in_one_line(study, tmp_path) -> None:
    good = save(study, tmp_path, 1.0)
    told = json.loads(Path(good[0]).read_text())
    bad = {
        "another study": told | {"study": "0" * 16},
        "unfinished, 39 of 40": told | {"answers": told["answers"][:-1]},
        "answers case 1 twice": told | {"answers": [*told["answers"][:-1], told["answers"][0]]},
        "case 41, which its page has not": told
        | {"answers": [*told["answers"][:-1], told["answers"][-1] | {"case": 41}]},
        "at answers.0.verdict": told | {"answers": [told["answers"][0] | {"verdict": 0}]},
        "is of reader-2, as another file is": json.loads(Path(good[1]).read_text()),
    }
    for why, changed in bad.items():
        Path(good[0]).write_text(json.dumps(changed))
        with pytest.raises(BadInput, match=why):
            run("score", study, *reversed(good), "--out", tmp_path / "scores")
    with pytest.raises(BadInput, match="cannot be read"):
        run("score", study, tmp_path / "none.json", "--out", tmp_path / "scores")
    (study / "key.json").write_text("{}")
    with pytest.raises(BadInput, match="not as it was written"):
        run("score", study, good[1], "--out", tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--cases", 200], "--cases 200: .* cases that match"),
        (["--cases", 41], "even number"),
        (["--readers", 0], "--readers 0"),
        (["--size", 36, "--cases", 20], "blown up"),
    ],
)
def test_what_cannot_be_prepared_is_refused_in_one_line(sets, tmp_path, words, why) -> None:
    with pytest.raises(BadInput, match=why):
        run("prepare", "--real", sets[0], "--synthetic", sets[1], "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out" / "key.json").exists()


def test_a_plan_writes_nothing(sets, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run("prepare", "--real", sets[0], "--synthetic", sets[1], "--cases", 40, "--out", out, "--plan") == 0
    assert "| 40 |" in capsys.readouterr().out and not out.exists()
