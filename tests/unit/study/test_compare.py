"""Studies side by side: whose answer, by which generator; other real sets are refused, other protocols told."""

import csv
import importlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from cxr import cli
from cxr.artifact import Made, Record, read_record, recipe_digest, verify
from cxr.artifact.lifecycle import commit_record
from cxr.errors import BadInput
from cxr.report.words import call_apart
from cxr.store import open_store
from cxr.study.config import StudyConfig, standard_arms

CONFIG = StudyConfig(arms=standard_arms(only=("synth_100",)), seeds=(1, 2, 3))
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return importlib.import_module("cxr.jobs.compare")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(name, gain)`: a finished study whose primary arm gained so much."""

    def written(name: str, gain: float, real: str = "r" * 64, classifier: str = "cnn", audited: bool = False) -> Path:
        def arm(called: str, auroc: float, changes: list[dict]) -> dict:
            level = {"mean": auroc, "sd": 0.01, "low": auroc - 0.02, "high": auroc + 0.02}
            return {"arm": called, "title": f"arm {called}", "seeds": [1, 2, 3], "figures": {"auroc": level},
                    "differences": changes}  # fmt: skip

        change = {"against": "baseline", "metric": "auroc", "mean": gain, "low": gain - 0.01, "high": gain + 0.01,
                  "p": 0.04, "p_holm": 0.04}  # fmt: skip
        source = {"name": "synthetic", "uri": f"/sets/of-{name}", "kind": "generated images", "digest": "d" * 64,
                  "arms": ["synth_100"]}  # fmt: skip
        audit = {"name": "audit", "uri": "/audit", "kind": "audit", "digest": "a" * 64, "arms": []}
        results = {
            "answer": f"AUROC {gain:+.3f}.", "phantom": False, "test_patients": 20,
            "sources": [source, *([audit] if audited else [])],
            "arms": [arm("baseline", 0.8, []), arm("synth_100", 0.8 + gain, [change])],
            "settings": {"classifier": classifier, "seeds": "1, 2, 3"}, "allowed": [],
        }  # fmt: skip
        store = open_store(str(tmp_path / name))
        stored = store.put("results.json", json.dumps(results).encode())
        recipe = CONFIG.model_dump(mode="json") | {"real": real, "synthetic": name}
        commit_record(store, Record(kind="study", recipe=recipe, recipe_digest=recipe_digest(recipe),
                                    made=Made.of([stored]), objects=[stored], metrics={}))  # fmt: skip
        return tmp_path / name

    return written


def compare(job: ModuleType, out: Path, *studies: Path) -> int:
    return job.main(cli.parse(job.Args, [*map(str, studies), "--out", str(out)]))


def test_each_study_has_a_row_with_its_generator_and_its_difference(job, write: Write, tmp_path: Path, capsys) -> None:
    out, studies = tmp_path / "out", [write("first", 0.02, audited=True), write("second", -0.03)]
    assert compare(job, out, *studies) == 0
    told = capsys.readouterr().out
    assert "first: AUROC +0.020." in told and "second: AUROC -0.030." in told
    text = (out / "comparison.md").read_text()
    levels = "0.800 (0.780 to 0.820) | 0.770 (0.750 to 0.790)"
    assert f"| second | of-second (dddddddddddd), unaudited | synth_100 | {levels} |" in text
    assert "| first | of-first (dddddddddddd) | synth_100 |" in text
    assert "| arm synth_100: synth_100 | +0.020 (+0.010 to +0.030) | -0.030 (-0.040 to -0.020) |" in text
    assert "differ in" not in text and "is not tested here" in text
    rows = list(csv.DictReader(io.StringIO((out / "comparison.csv").read_text())))
    assert [(row["study"], row["arm"], row["less_baseline_mean"]) for row in rows][1::2] == [
        ("first", "synth_100", "0.02"), ("second", "synth_100", "-0.03")
    ]  # fmt: skip
    store = open_store(str(out))
    assert verify(store).clean and read_record(store).kind == "comparison of studies"
    assert compare(job, out, *studies) == 0 and "already there" in capsys.readouterr().out


def test_what_the_studies_do_not_share_is_told(job, write: Write, tmp_path: Path, capsys) -> None:
    compare(job, tmp_path / "out", write("small", 0.01), write("large", 0.02, classifier="densenet121"))
    line = "The studies differ in classifier, so a difference between them may come from that: small: cnn; large: dense"
    assert line in capsys.readouterr().out and line in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("one",), "give two studies or more"),
        (("one", "other"), "is of another real set than"),
        (("one", "one"), "given twice"),
        (("one", "none"), "none: no such folder"),
    ],
)
def test_what_cannot_be_compared(job, write: Write, tmp_path: Path, names: tuple[str, ...], why: str) -> None:
    write("one", 0.01), write("other", 0.02, real="s" * 64)
    with pytest.raises(BadInput, match=why):
        compare(job, tmp_path / "out", *(tmp_path / name for name in names))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (("/out/a/first", "/out/b/second"), ["first", "second"]),
        (("/out/base/study", "/out/tuned/study"), ["base/study", "tuned/study"]),
        (("s3://lake/study", "s3://lake/new/study"), ["lake/study", "new/study"]),
    ],
)
def test_studies_are_called_by_what_tells_them_apart(places: tuple, names: list) -> None:
    assert call_apart(places) == names


def learning(**worths: float) -> dict:
    """A learning curve of 40 to 400 real pictures, and what 100 synthetic ones beside 100 real ones are read as."""
    readings = [
        {"arm": arm, "real": 100, "synthetic": 100, "auroc": 0.8, "equivalent": 100 + 100 * worth,
         "equivalent_low": 80 + 100 * worth, "equivalent_high": 120 + 100 * worth, "worth": worth, "low": worth - 0.2,
         "high": worth + 0.2}
        for arm, worth in worths.items()
    ]  # fmt: skip
    return {"form": "power", "fit_p": 0.5, "sizes": [40, 100, 200, 400], "aurocs": [0.7, 0.75, 0.8, 0.85],
            "rise": [0.15, 0.1, 0.2], "reach": [10, 1600], "band": [], "readings": readings}  # fmt: skip


def test_what_pictures_are_worth_stands_against_what_they_give_away(job, write: Write, tmp_path: Path) -> None:
    def told(study: Path, **more: object) -> Path:
        results = json.loads((study / "results.json").read_text()) | more
        (study / "results.json").write_text(json.dumps(results))
        return study

    clean, leaking = ({"verdict": verdict, "nearest": nearest}
                      for verdict, nearest in (("no leak found at this power", 0.01), ("leak found", 0.2)))  # fmt: skip
    good = told(write("good", 0.05), learning=learning(synth_100=0.9, own_set=0.5), leakage=clean)
    copies = told(write("copies", 0.0), learning=learning(synth_100=0.0), leakage=leaking)
    silent = told(write("silent", 0.0), learning=learning(synth_100=0.3))  # no audit: it has no place to the right
    assert compare(job, tmp_path / "out", good, copies, silent) == 0
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "| good | synth_100 | 90 (70 to 110) | +1.0 % of pictures | no leak found at this power |" in text
    assert "| copies | synth_100 | 0 (-20 to 20) | +20.0 % of pictures | leak found |" in text
    assert "own_set" not in text and "| silent | synth_100 | 30" not in text
    assert (tmp_path / "out" / "worth_leakage.png").read_bytes().startswith(b"\x89PNG")
    assert "Near 0 is not" in (tmp_path / "out" / "index.html").read_text()


def test_without_an_audit_nothing_is_drawn_against_leakage(job, write: Write, tmp_path: Path) -> None:
    assert compare(job, tmp_path / "out", write("first", 0.02), write("second", 0.01)) == 0
    assert not (tmp_path / "out" / "worth_leakage.png").exists()
    assert "<figure>" not in (tmp_path / "out" / "index.html").read_text()
