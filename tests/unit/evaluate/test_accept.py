"""Each test of a judge finds what was planted, and lets pass what is as real pictures are."""

import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from cxr.data.candidates import VERDICT, VERDICTS, FilterConfig
from cxr.data.catalog import CatalogSet, read_images
from cxr.data.labels import LISTS, Labels, Vocabulary
from cxr.errors import BadInput
from cxr.evaluate import judge as judging
from cxr.evaluate.accept import AcceptWorker, Judge, judge_pictures, measure_diversity, see_asked
from cxr.evaluate.judge import check_judge, prepare_judge, without_test_part
from cxr.evaluate.label_classifier import FittedClassifier, Labelled
from cxr.store import open_store, read_parquet
from tests.stored import label_columns

FINDINGS = ("bright", "dark")
SIZE, TRAIN, VALIDATION, TEST = 128, 120, 40, 30


def draw(finding: str, rng: np.random.Generator) -> np.ndarray:
    """A picture of random tiles, whose upper half is bright or dark."""
    tiles = rng.uniform(70, 110, (8, 8))
    tiles[:4] += 60 if finding == "bright" else -50
    return np.clip(np.kron(tiles, np.ones((16, 16))) + 3 * rng.standard_normal((SIZE, SIZE)), 0, 255).astype(np.uint8)


def means(pixels: np.ndarray) -> np.ndarray:
    """In place of an extractor: float32 [N, 64]."""
    return pixels.reshape(-1, 8, 16, 8, 16).mean(axis=(2, 4)).reshape(-1, 64).astype(np.float32)


def brightness(training: Labelled, validation: Labelled, **settings: object):
    """In place of a network: learns the gray level between the two findings."""
    pixels, labels = training
    light = pixels[:, : SIZE // 2].mean(axis=(1, 2))
    middle = np.mean([light[labels[:, column] == 1].mean() for column in (0, 1)])

    def predict(pictures: np.ndarray) -> np.ndarray:
        bright = 1 / (1 + np.exp((middle - pictures[:, : SIZE // 2].mean(axis=(1, 2))) / 10))
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)

    return predict


@pytest.fixture(scope="module")
def real(stored_set) -> CatalogSet:
    return real_of(stored_set, "real", test_seed=1)


def real_of(stored_set, name: str, test_seed: int) -> CatalogSet:
    rng, other = np.random.default_rng(0), np.random.default_rng(test_seed)
    split = ["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST
    findings = [FINDINGS[row % 2] for row in range(len(split))]
    pixels = [draw(finding, other if part == "test" else rng) for finding, part in zip(findings, split, strict=True)]
    patients = [f"p{row}" for row in range(len(split))]
    return stored_set(name, np.stack(pixels), finding=findings, split=split, patient_id=patients)


@pytest.fixture(autouse=True)
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "extractor_of", lambda spec: means)
    monkeypatch.setattr(judging, "train", brightness)


def no_parts(training: np.ndarray, validation: np.ndarray):
    raise AssertionError("nobody asked for parts")


def judge_of(real: CatalogSet, accept: str = "label,realism,copies") -> Judge:
    return prepare_judge(without_test_part(real), FilterConfig(accept=accept, quota=1), 0, no_parts)


def asked(*findings: str) -> pa.Table:
    columns = label_columns([Labels.only(name) for name in findings], FINDINGS)
    lists = {name: pa.array(columns[name], pa.list_(pa.string())) for name in LISTS}
    return pa.table({"image_id": [f"g{row}" for row in range(len(findings))], **lists})


def verdicts(judge: Judge, pictures: list[np.ndarray], *findings: str) -> list[str | None]:
    pixels = np.stack(pictures)
    found = judge_pictures(judge, asked(*findings), pixels, means(pixels))
    assert found.schema == VERDICT and found["accepted"].to_pylist() == [
        one is None for one in found["reason"].to_pylist()
    ]
    return found["reason"].to_pylist()


def test_what_is_as_real_pictures_are_is_accepted(real: CatalogSet) -> None:
    rng = np.random.default_rng(5)
    findings = [FINDINGS[row % 2] for row in range(100)]
    reasons = verdicts(judge_of(real), [draw(name, rng) for name in findings], *findings)
    assert reasons.count("label") == 0 and reasons.count("copies") <= 4
    assert reasons.count("realism") <= 12  # 5 % of real ones are as far


def test_what_shows_another_finding_is_refused(real: CatalogSet) -> None:
    rng = np.random.default_rng(6)
    swapped = [draw(FINDINGS[1 - row % 2], rng) for row in range(40)]
    assert verdicts(judge_of(real), swapped, *(FINDINGS[row % 2] for row in range(40))) == ["label"] * 40
    assert "label" not in verdicts(judge_of(real, "realism,copies"), swapped, *["dark"] * 40)


def test_what_is_no_such_picture_is_refused(real: CatalogSet) -> None:
    """Noise, and a real picture upside down, which the classifier takes for the other finding."""
    rng = np.random.default_rng(7)
    strange = [rng.integers(0, 256, (SIZE, SIZE)).astype(np.uint8), draw("bright", rng)[::-1].copy()]
    assert verdicts(judge_of(real, "realism"), strange, "bright", "dark") == ["realism"] * 2
    assert verdicts(judge_of(real, "label"), strange[1:], "dark") == [None]


def test_copies_of_training_pictures_are_refused_and_of_no_others(real: CatalogSet) -> None:
    every = read_images(real.store, real.table, SIZE)
    copies = [np.roll(every[row], 3, axis=1) for row in range(20)]
    held_out = [every[row] for row in range(TRAIN, TRAIN + 20)]
    findings = [FINDINGS[row % 2] for row in range(20)]
    assert verdicts(judge_of(real, "copies"), copies, *findings).count("copies") >= 18
    assert verdicts(judge_of(real, "copies"), held_out, *findings).count("copies") <= 2


def test_the_first_of_the_tests_that_refuses_is_the_reason(real: CatalogSet) -> None:
    copy = read_images(real.store, real.table.slice(0, 1), SIZE)[0]  # of a bright one
    assert verdicts(judge_of(real, "copies,label"), [copy], "dark") == ["copies"]
    assert verdicts(judge_of(real, "label,copies"), [copy], "dark") == ["label"]


def test_no_test_picture_is_ever_looked_at(real: CatalogSet, stored_set) -> None:
    """Other test pictures, or none that can be read, give the same verdicts to the bit."""
    other = real_of(stored_set, "other", test_seed=99)
    for row in other.table.filter(pa.compute.equal(other.table["split"], "test"))["key"].to_pylist():
        other.store.delete([row])
    pictures = np.stack([draw(FINDINGS[row % 2], np.random.default_rng(row)) for row in range(30)])
    rows = asked(*(FINDINGS[row % 2] for row in range(30)))
    first, second = (judge_pictures(judge_of(each), rows, pictures, means(pictures)) for each in (real, other))
    assert first.equals(second)
    changed = replace(judge_of(real), farthest=0.0)
    assert not judge_pictures(changed, rows, pictures, means(pictures)).equals(first)


def judge_of_several() -> Judge:
    classifier = FittedClassifier(("a", "b"), (0.5, 0.3), lambda pixels: np.empty((0, 2)))
    return Judge(("label",), np.zeros((1, 1)), 1.0, 0.0, classifier, none=-0.1)


def test_of_several_findings_each_asked_one_must_be_seen_and_none_where_none_was() -> None:
    values = np.array([[1, 1], [1, 1], [1, 0], [1, np.nan], [0, 0], [0, 0]], np.float32)
    predicted = np.array([[0.6, 0.4], [0.6, 0.2], [0.6, 0.9], [0.4, 0.9], [0.3, 0.1], [0.45, 0.1]], np.float32)
    probabilities, right = see_asked(judge_of_several(), values, predicted)
    assert right.tolist() == [True, False, True, False, True, False]
    np.testing.assert_allclose(probabilities, [0.4, 0.2, 0.6, 0.4, 0.7, 0.55], atol=1e-6)


def test_where_findings_exclude_each_other_the_asked_one_must_be_sure_enough() -> None:
    judge = replace(judge_of_several(), classifier=FittedClassifier(("a", "b", "c"), None, lambda pixels: pixels))
    values, predicted = np.eye(3, dtype=np.float32)[[0, 0]], np.array([[0.4, 0.3, 0.3], [0.6, 0.2, 0.2]])
    assert see_asked(judge, values, predicted)[1].tolist() == [True, True]
    assert see_asked(replace(judge, min_probability=0.5), values, predicted)[1].tolist() == [False, True]


def test_a_worker_stores_the_same_verdicts_whenever_it_is_called(real: CatalogSet, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cxr.evaluate.accept.extractor_here", lambda spec: means)
    worker, judge = AcceptWorker(real.store, "tiny", SIZE), judge_of(real)
    rows = pickle.dumps(real.table.slice(TRAIN, 8))
    out = replace(worker, store=real.store)
    assert out(3, rows, judge)["images"] == 8
    first = real.store.get(f"{VERDICTS}00000003.parquet")
    assert out(3, rows, judge)["accepted"] == sum(read_parquet(first)["accepted"].to_pylist()) >= 6
    assert real.store.get(f"{VERDICTS}00000003.parquet") == first
    real.store.delete([f"{VERDICTS}00000003.parquet"])
    assert open_store(str(tmp_path))


@pytest.mark.parametrize(
    ("accept", "vocabulary", "findings", "why"),
    [
        ("label", Vocabulary(("bright", "grey"), True), ("bright", "grey"), "shows no grey in its train"),
        ("label", Vocabulary(FINDINGS, False), FINDINGS, "shows one finding a picture, so nobody can see several"),
        ("parts", Vocabulary(FINDINGS, True), FINDINGS, "its 40 validation pictures are too few"),
    ],
)
def test_what_cannot_be_judged(real: CatalogSet, accept: str, vocabulary, findings, why: str) -> None:
    config = FilterConfig(accept=accept, quota=1)
    with pytest.raises(BadInput, match=why):
        check_judge(without_test_part(real), config, vocabulary, findings)
    check_judge(
        without_test_part(real), FilterConfig(accept="label,copies", quota=1), Vocabulary(FINDINGS, True), FINDINGS
    )


def test_copies_need_enough_training_pictures_and_a_judge_a_train_part(real: CatalogSet) -> None:
    few = replace(real, table=real.table.slice(TRAIN - 50, 80))
    with pytest.raises(BadInput, match="50 training pictures"):
        check_judge(
            without_test_part(few), FilterConfig(accept="copies", quota=1), Vocabulary(FINDINGS, True), FINDINGS
        )
    with pytest.raises(BadInput, match="has no train part"):
        without_test_part(replace(real, table=real.table.slice(TRAIN)))


def test_a_filter_that_takes_one_kind_alone_costs_recall_and_one_that_drops_at_random_nothing() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(300, 4)), rng.normal(size=(600, 4))
    findings = np.array(["a", "b"] * 300)
    narrow = measure_diversity(real, made, np.abs(made[:, 0]) < 0.4, findings, 0)
    fair = measure_diversity(real, made, rng.random(600) < 0.3, findings, 0)
    assert narrow["recall"]["accepted"] < narrow["recall"]["all made"] - 0.1
    assert narrow["coverage"]["accepted"] < narrow["coverage"]["all made"] - 0.1
    assert fair["recall"]["accepted"] == pytest.approx(fair["recall"]["all made"], abs=0.06)
    assert measure_diversity(real, made[:5], np.ones(5, bool), findings[:5], 0) == {}
