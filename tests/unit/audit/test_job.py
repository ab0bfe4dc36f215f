"""The job, from two sets to a page: what is planted is found, a placebo is not, and what was not tested is said."""

import importlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cxr.artifact import read_record, verify
from cxr.audit.planted import COPIES
from cxr.data.catalog import read_set
from cxr.errors import BadInput, SomeFailed
from cxr.store import open_store
from tests.unit.audit.conftest import TEST, TRAIN, VALIDATION
from tests.words import parse_options

FEW = {"false_alarms": 0.1, "permutations": 200, "planted": 5, "shown": 4, "size": 128}
LATER = {
    "re-identification, by features": "it takes 20 patients with several pictures to learn how patients differ",
    "the promise of differential privacy": "no model was given (--model)",
}


@pytest.fixture(scope="module")
def job():
    return importlib.import_module("cxr.jobs.audit")


@pytest.fixture(scope="module")
def sets(stored_set, phantoms) -> dict[str, str]:
    """A real set; copies of its training pictures; other patients' pictures; and sets that do not fit."""
    pixels, others = phantoms
    rng, count = np.random.default_rng(0), len(pixels)
    kinds = ["blurred 3 px", "cropped 20 %", "the same", "turned 5 degrees"]
    copies = [COPIES[kinds[row % 4]](pixels[row], others[row], rng) for row in range(24)]
    columns = {
        "finding": ["a", "b"] * (count // 2),
        "patient_id": [f"patient-{row}" for row in range(count)],
        "view": ["PA"] * count,
        "split": ["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST,
    }
    half = {name: column[: TRAIN + VALIDATION] for name, column in columns.items()}
    found = {
        "real": stored_set("real", pixels, **columns),
        "nameless": stored_set("nameless", pixels, **{**columns, "patient_id": [None] * count}),
        "untested": stored_set("untested", pixels[: TRAIN + VALIDATION], **half),
        "undivided": stored_set("undivided", pixels, **{**columns, "split": [None] * count}),
        "copies": stored_set("copies", np.stack(copies), finding=["a", "b"] * 12),
        "placebo": stored_set("placebo", others, finding=["a", "b"] * 12),
        "others": stored_set("others", others, finding=["x"] * 24),
    }
    return {name: stored.store.uri for name, stored in found.items()}


@pytest.fixture(scope="module")
def audits(job, sets, tmp_path_factory) -> dict[str, Path]:
    """The audits of copies and of the placebo."""
    places = {name: tmp_path_factory.mktemp("audits") / name for name in ("copies", "placebo")}
    for name, place in places.items():
        options = {"real": sets["real"], "synthetic": sets[name], "out": place, **FEW}
        assert job.main(parse_options(job, **options)) == 0
    return places


def read(place: Path, name: str = "audit.json") -> dict:
    return json.loads((place / name).read_text(encoding="utf-8"))


def verdicts(place: Path) -> dict[str, str]:
    return {test["name"]: test["verdict"] for test in read(place)["tests"]}


@pytest.mark.slow
def test_copies_are_found_and_the_placebo_is_not(audits):
    found, placebo = (verdicts(audits[name]) for name in ("copies", "placebo"))
    assert found["nearest patient, by details"] == "leak found"
    assert found["near-duplicates, by details"] == found["near-duplicates, by key points"] == "leak found"
    assert "leak found" not in placebo.values() and "no leak found at this power" in placebo.values()
    risks = {name: risk["verdict"] for name, risk in read(audits["copies"])["risks"].items()}
    assert risks == {"singling out": "leak found", "linkability": "not tested", "inference": "leak found"}


@pytest.mark.slow
def test_what_is_not_there_yet_is_said_and_nothing_is_called_safe(audits):
    for place in audits.values():
        page = (place / "index.html").read_text(encoding="utf-8")
        for name, reason in LATER.items():
            test = next(test for test in read(place)["tests"] if name in test["name"])
            assert (test["verdict"], test["reason"]) == ("not tested", reason)
            assert test["name"] in page
        assert "safe" not in page.replace("Is it safe to share?", "") and "WP216" in page and "28/2024" in page
        assert all(test["power"] and test["limit"] for test in read(place)["tests"] if not test["reason"])


@pytest.mark.slow
def test_pairs_show_original_and_patient_and_the_summary_names_neither(audits):
    place = audits["copies"]
    pairs = read(place)["pairs"]
    assert len(pairs) == 4 and all((place / pair["key"]).read_bytes().startswith(b"\x89PNG") for pair in pairs)
    for pair in pairs:
        row = int(pair["synthetic"].removeprefix("copies-"))
        assert (pair["original"], pair["patient"]) == (f"real-{row:04d}", f"patient-{row}") and pair["flagged"]
        assert pair["original"] in (place / "index.html").read_text(encoding="utf-8")
    summary = (place / "summary.json").read_text(encoding="utf-8")
    assert not any(word in summary for word in ("patient-", "real-0", "copies-0", ".png"))
    assert read(place, "summary.json")["tests"] == read(place)["tests"]


@pytest.mark.slow
def test_an_audit_is_an_artifact(job, sets, audits, capsys):
    store = open_store(str(audits["placebo"]))
    assert verify(store).clean and read_record(store).kind == "audit"
    again = {"real": sets["real"], "synthetic": sets["placebo"], "out": audits["placebo"], **FEW}
    assert job.main(parse_options(job, **again)) == 0 and "already there" in capsys.readouterr().out
    with pytest.raises(BadInput, match="holds another recipe's artifact"):
        job.main(parse_options(job, **again | {"seed": 1}))


@pytest.mark.slow
def test_the_set_without_flagged_pictures_is_a_set_of_its_own(job, sets, audits, tmp_path):
    again = {"real": sets["real"], "synthetic": sets["copies"], "out": audits["copies"], **FEW}
    clean = tmp_path / "clean"
    assert job.main(parse_options(job, **again, quarantine=clean)) == 0
    table = pq.read_table(audits["copies"] / "pictures.parquet").to_pylist()
    flagged = {row["image_id"] for row in table if row["copied_details"] or row["copied_key_points"]}
    assert len(flagged) > 20 and verify(open_store(str(clean))).clean
    assert not flagged & set(read_set(open_store(str(clean))).table["image_id"].to_pylist())


@pytest.mark.parametrize(
    ("real", "reason"),
    [("nameless", "the real set names no patients"), ("untested", "the real set has no test part")],
)
def test_without_patients_or_a_test_part_it_says_why_nothing_was_tested(job, sets, tmp_path, real: str, reason: str):
    out = tmp_path / "out"
    job.main(parse_options(job, real=sets[real], synthetic=sets["placebo"], out=out, **FEW))
    tests = read(out)["tests"]
    assert read(out)["verdict"] == "not tested" and {test["verdict"] for test in tests} == {"not tested"}
    assert sum(reason in test["reason"] for test in tests) == 5
    assert reason in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("real", "alarms", "reason"),
    [
        ("untested", 0.1, "the real set has no test part"),
        ("real", 0.01, "20 test pictures are too few to say which likeness 1 % of"),
    ],
)
def test_a_set_without_copies_that_cannot_be_told_is_all_that_is_missing(
    job, sets, tmp_path, real: str, alarms: float, reason: str
):
    out, clean = tmp_path / "out", tmp_path / "clean"
    options = {"real": sets[real], "synthetic": sets["placebo"], "out": out, **FEW, "false_alarms": alarms}
    with pytest.raises(SomeFailed, match=f"--quarantine .*: not written: .* because {reason}"):
        job.main(parse_options(job, **options, quarantine=clean))
    assert read_record(open_store(str(out))) and not clean.exists()
    page = (out / "index.html").read_text(encoding="utf-8")
    assert reason in page and "not flagged by" not in page


@pytest.mark.parametrize(
    ("real", "synthetic", "options", "line"),
    [
        ("real", "real", {}, "is the same set as --real; give the set to audit"),
        ("real", "others", {}, "no finding is in both sets: --real has a, b; --synthetic has x"),
        ("undivided", "placebo", {}, "no picture is in a train part"),
        ("real", "nowhere", {}, "nowhere: no such folder"),
        ("real", "placebo", {"extractor": "inseption"}, "no such"),
        ("real", "placebo", {"max_p": 0}, "--max-p '0.0'"),
        ("real", "placebo", {"recipe": "tinny"}, "did you mean tiny"),
        ("real", "placebo", {"model": "{real}"}, r"--model .*: no lineage\.json there"),
        ("real", "placebo", {"base": "tiny"}, "--base is of --model"),
        ("real", "placebo", {"quarantine": "{out}", "false_alarms": 0.1}, "--quarantine .*: is --out too"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(job, sets, tmp_path, real, synthetic, options, line):
    places, out = {**sets, "nowhere": str(tmp_path / "nowhere")}, tmp_path / "out"
    options = {
        name: value.format(out=out, **places) if isinstance(value, str) else value for name, value in options.items()
    }
    with pytest.raises(BadInput, match=line) as caught:
        job.main(parse_options(job, **{"real": places[real], "synthetic": places[synthetic], "out": out} | options))
    assert "\n" not in str(caught.value) and not out.exists()


def test_a_dry_run_says_what_would_be_attacked(job, sets, tmp_path, capsys) -> None:
    given = {"recipe": "tiny", "real": sets["real"], "synthetic": sets["placebo"], "out": tmp_path / "out"}
    assert job.main(parse_options(job, **given, dry_run=True)) == 0
    told = capsys.readouterr().out
    assert f"reads: {TRAIN} training and {TEST} test pictures" in told and "no model was given" in told
    assert "\ntime: " in told and "as 24 pictures took" in told
    assert not list(tmp_path.iterdir())
