"""A study refuses a set whose labels are mostly wrong, tells how right the others are, and what was not measured."""

import json
from pathlib import Path

import pytest

from cxr.data.catalog import CatalogSet
from cxr.data.prompt_accuracy import PromptAccuracy, judge_labels, record_accuracies
from cxr.errors import BadInput
from cxr.store import Store, open_store
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.finish import describe_labels
from cxr.study.job import StudyJob, prepare
from cxr.study.labels_check import describe_prompt_accuracy, unfaithful_labels
from tests.unit.report.sample import sample_quality
from tests.unit.study.conftest import evaluation_of, of_record

CONFIG = StudyConfig(arms=(Arm(name=BASELINE), Arm(name="synth_50", synthetic=50)), seeds=(1, 2))
NORMAL = PromptAccuracy("normal", 94, 100, 0.9, 0.1)
NIH = PromptAccuracy("pneumonia", 29, 100, 0.77, 0.23)  # about what was measured on NIH's X-rays


def seen(pneumonia: int) -> dict:
    """`agreement` of quality.json: a classifier that is right in 9 of 10, and 60 pictures asked for each finding."""

    def side(*rows: tuple[int, int]) -> dict:
        hits = {"normal": rows[0][0], "pneumonia": rows[1][1]}
        totals = dict(zip(hits, map(sum, rows), strict=True))
        bounds = {"low": 0.0, "high": 1.0}
        findings = {
            name: {"share": n / totals[name], "count": n, "total": totals[name], **bounds} for name, n in hits.items()
        }
        return {"counts": [list(row) for row in rows], "findings": findings, "agree": {"share": 0.5, **bounds}}

    synthetic = side((57, 3), (60 - pneumonia, pneumonia))
    return {"findings": ["normal", "pneumonia"], "synthetic": synthetic, "real": side((90, 10), (10, 90))}


@pytest.fixture
def evaluation(real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path):
    """`evaluation(agreement)`: one of the two sets."""

    def written(agreement: dict | None) -> tuple[Store, object]:
        store = open_store(str(tmp_path / "quality"))
        store.put("quality.json", json.dumps(sample_quality(agreement=agreement)).encode())
        return store, evaluation_of(real_set, synthetic_set)

    return written


def prepared(
    place: Path, real: CatalogSet, synthetic: CatalogSet, evaluation, config: StudyConfig = CONFIG
) -> StudyJob:
    return prepare(open_store(str(place / "study")), config, real, synthetic, evaluation, None)


def test_a_set_that_does_not_show_what_was_asked_is_refused(
    real_set: CatalogSet, synthetic_set: CatalogSet, evaluation, tmp_path: Path
) -> None:
    found = evaluation(seen(pneumonia=0))
    refusal = r"asked for pneumonia, 0 of 60 .*about 0 % of.*--allow-unfaithful-labels"
    with pytest.raises(BadInput, match=refusal) as caught:
        prepared(tmp_path, real_set, synthetic_set, found)
    assert "\n" not in str(caught.value) and not (tmp_path / "study").exists()
    allowed = CONFIG.model_copy(update={"allow_unfaithful_labels": True})
    ready = prepared(tmp_path, real_set, synthetic_set, found, allowed)
    assert any("asked for pneumonia, 0 of 60" in line for line in ready.allowed)
    assert "0 of 60" in describe_labels(ready)[0]


def test_a_faithful_set_passes_and_its_prompt_accuracy_is_told(
    real_set: CatalogSet, synthetic_set: CatalogSet, evaluation, tmp_path: Path
) -> None:
    ready = prepared(tmp_path, real_set, synthetic_set, evaluation(seen(pneumonia=54)))
    assert ready.allowed == []
    [line] = describe_labels(ready)
    assert line.startswith("Prompt accuracy of the set 'synthetic': 111 of 120 pictures (92 %)") and "54 of 60" in line


def test_the_limit_is_a_setting(real_set: CatalogSet, synthetic_set: CatalogSet, evaluation, tmp_path: Path) -> None:
    found = evaluation(seen(pneumonia=40))  # (40/60 - 0.1) / 0.8: 71 %
    prepared(tmp_path, real_set, synthetic_set, found)
    strict = CONFIG.model_copy(update={"min_prompt_accuracy": 0.8})
    with pytest.raises(BadInput, match=r"about 71 % of.*--min-prompt-accuracy asks for 80 %"):
        prepared(tmp_path, real_set, synthetic_set, found, strict)


def test_what_was_not_measured_is_said_and_refuses_nothing(
    real_set: CatalogSet, synthetic_set: CatalogSet, evaluation, tmp_path: Path
) -> None:
    ready = prepared(tmp_path, real_set, synthetic_set, evaluation(None))
    assert ready.allowed == [] and "not measured" in describe_labels(ready)[0]
    alone = StudyConfig(arms=(Arm(name=BASELINE),))
    assert describe_labels(prepare(open_store(str(tmp_path / "b")), alone, real_set, None, None, None)) == []


def test_a_set_without_copies_brings_the_figures_of_its_evaluation(
    real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path
) -> None:
    metrics = {"patients_seen": [], "prompt_accuracy": record_accuracies([NORMAL, NIH])}
    clean = of_record(synthetic_set, kind="images without copies", recipe={"real": real_set.digest}, metrics=metrics)
    with pytest.raises(BadInput, match=r"asked for pneumonia, 29 of 100"):
        prepared(tmp_path, real_set, clean, None)


def test_what_the_audit_measured_is_refused_and_a_classifier_that_cannot_tell_refuses_nothing() -> None:
    assert "about 11 % of these labels are right" in unfaithful_labels([NORMAL, NIH], CONFIG)
    assert "about 11 %" in describe_prompt_accuracy("synthetic", [NORMAL, NIH])
    blind = PromptAccuracy("pneumonia", 29, 100, 0.5, 0.45)
    assert unfaithful_labels([NORMAL, blind], CONFIG) == "" and "too alike to say" in describe_prompt_accuracy(
        "synthetic", [blind]
    )


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([NORMAL, PromptAccuracy("pneumonia", 0, 60, 0.9, 0.1)], "mostly wrong for pneumonia, so do not train"),
        ([NORMAL, PromptAccuracy("pneumonia", 24, 60, 0.9, 0.1)], "about 38 % right for pneumonia, fewer"),
        ([NORMAL], "right, as far as the classifier can tell"),
        ([PromptAccuracy("pneumonia", 0, 60, 0.55, 0.45)], "not to be judged, because the classifier hardly tells"),
        ([NORMAL, PromptAccuracy("mass", 0, 9, 0.5, 0.5)], "can tell; not to be judged for mass"),
    ],
)  # fmt: skip
def test_labels_get_a_verdict(found: list[PromptAccuracy], verdict: str) -> None:
    assert verdict in judge_labels(found)
