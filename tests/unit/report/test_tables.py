import csv
import io
import json
from dataclasses import asdict, replace

import pytest

from cxr.study.pages.table_files import files, latex
from cxr.study.results import (
    METRICS,
    ArmResult,
    ClassMetrics,
    Difference,
    Source,
    Spread,
    Study,
    ValidationPoint,
    study_json,
)

SPREAD = Spread(0.9, 0.01, 0.88, 0.92)
CLASSES = ["NORMAL", "PNEUMONIA_50%"]


def difference(against: str, mean: float, p: float, metric: str = "auroc") -> Difference:
    return Difference(
        against, metric, mean, mean - 0.02, mean + 0.02, p / 2, p, None, None, 0.01, 0.02, -0.1, 0.1, 0.03
    )


def arm(name: str, label: str, *differences: Difference, control: str | None = None) -> ArmResult:
    return ArmResult(
        arm=name, label=label, control=control, real=1200, synthetic=300, seeds=[42, 123], failed=[456],
        metrics=dict.fromkeys(METRICS, SPREAD), differences=list(differences),
        classes=[ClassMetrics(name, 100, *[SPREAD] * 5) for name in CLASSES], confusion=[[90, 10], [8, 92]],
        roc=[[0.0, 0.0], [1.0, 1.0]],
        curves={42: [ValidationPoint(10, 0.5, 0.8, 0.7)], 123: [ValidationPoint(10, 0.5, 0.8, 0.7, 0.9)]},
        best={42: 0, 123: 0}, selection_bias=None, subgroups=[], hours=0.5, device="cpu",
    )  # fmt: skip


@pytest.fixture
def study() -> Study:
    better = [difference("baseline", 0.03, 0.004), difference("twice", 0.02, 0.03)]
    arms = [
        arm("baseline", "100 % real"),
        arm("twice", "100 % real, 2 times", difference("baseline", 0.01, 0.3)),
        arm("synth_100", "100 % real + 100 % synthetic", *better, control="twice"),
        replace(arm("lost", "100 % synthetic"), metrics={}, classes=[], seeds=[]),
    ]
    counts = dict.fromkeys(CLASSES, 100)
    return Study(
        answer="Yes.", phantom=False, classes=CLASSES, baseline="baseline", budget="steps", arms=arms, train=counts,
        validation=counts, test=counts, test_patients=150, settings={}, sources=[], allowed=[], notes=[],
    )  # fmt: skip


def test_a_trial_is_a_row_with_what_it_was_trained_and_tested_on(study: Study) -> None:
    sets = [Source("real", "a", "images", "d1", 9), Source("synthetic", "b", "images", "d2", 9, ["synth_100"])]
    arms = [replace(arm, of_seeds=dict.fromkeys(arm.seeds, dict.fromkeys(METRICS, 0.9))) for arm in study.arms]
    whole = replace(study, arms=arms, sources=sets, settings={"classifier": "cnn, from random weights"})
    rows = list(csv.DictReader(io.StringIO(files(whole)["trials.csv"].decode())))
    assert [(row["arm"], row["seed"]) for row in rows[:3]] == [("baseline", "42"), ("baseline", "123"), ("twice", "42")]
    assert len(rows) == 6 and rows[0]["auroc"] == "0.9" and rows[0]["classifier"] == "cnn, from random weights"
    assert [(row["real_set"], row["synthetic_set"]) for row in rows[3:5]] == [("d1", ""), ("d1", "d2")]


def test_json_has_every_figure_unrounded(study: Study):
    told = json.loads(study_json(study))
    assert told["answer"] == "Yes." and [arm["arm"] for arm in told["arms"]] == [
        "baseline",
        "twice",
        "synth_100",
        "lost",
    ]
    assert told["arms"][2]["differences"][1] == asdict(study.arms[2].differences[1])
    assert told["arms"][2]["figures"]["auroc"] == asdict(SPREAD) and told["arms"][3]["figures"] == {}
    assert told["arms"][0]["curves"]["123"][0]["test_auroc"] == 0.9


def test_csv_has_every_figure_unrounded_and_the_same_columns_in_every_row(study: Study):
    made = files(study)
    arms = list(csv.DictReader(io.StringIO(made["results.csv"].decode())))
    assert [one["arm"] for one in arms] == ["baseline", "twice", "synth_100", "lost"]
    assert float(arms[2]["less_baseline_mean"]) == 0.03 and float(arms[2]["less_control_p_holm"]) == 0.03
    assert arms[0]["less_baseline_mean"] == "" and arms[3]["auroc_mean"] == "" and None not in arms[3]
    classes = list(csv.DictReader(io.StringIO(made["classes.csv"].decode())))
    assert len(classes) == 6 and classes[1]["class"] == "PNEUMONIA_50%" and float(classes[1]["f1_low"]) == 0.88


def test_markdown_explains_its_marks(study: Study):
    text = files(study)["results.md"].decode()
    assert text.count("\n| ") == 5 and "** p < 0.01" in text.split("\n\n")[1]


def test_tables_of_phantoms_say_so(study: Study):
    for name, data in files(replace(study, phantom=True)).items():
        assert b"anything about patients" in data or name.endswith(".csv"), name
    assert not any(b"hantom" in data for data in files(study).values())


def test_latex_is_escaped(study: Study):
    text = files(study)["classes.tex"].decode()
    assert r"100 \% real & PNEUMONIA\_50\% & 100 &" in text and r"\toprule" in text
    assert latex((["a_b"], [["<0.001 & 5 %†\\"]]), "c").splitlines()[4:8] == [
        r"\toprule",
        r"a\_b \\",
        r"\midrule",
        r"$<$0.001 \& 5 \%$^\dagger$\textbackslash{} \\",
    ]
    assert "†" not in files(study)["results.tex"].decode()
