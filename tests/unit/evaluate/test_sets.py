import numpy as np
import pytest

from cxr.errors import BadInput
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.sets import comparable_findings, describe_sizes, load_images, open_images

CONFIG = EvaluateConfig(min_samples=12, against="all")


def blank(count: int) -> np.ndarray:
    return np.arange(count * 256, dtype=np.uint8).reshape(count, 16, 16)


def real(stored_set, findings: list[str], split: str | None = "train", patients: list | None = None):
    """With 100 more training pictures, of another finding."""
    patients = [*(patients or [None] * len(findings)), *[None] * 100]
    splits = [split] * len(findings) + ["train" if split else None] * 100
    findings = findings + ["others"] * 100
    return stored_set("real", blank(len(findings)), finding=findings, split=splits, patient_id=patients)


def synthetic(stored_set, findings: list[str]):
    return stored_set("synthetic", blank(len(findings)), finding=findings)


def test_findings_of_both_with_enough_patients_are_kept_and_the_others_named(stored_set):
    patients = [f"p{n}" for n in range(12)] + ["one"] * 13 + [None] * 12
    ours = real(stored_set, ["a"] * 12 + ["b"] * 13 + ["c"] * 12, patients=patients)
    theirs = synthetic(stored_set, ["a"] * 12 + ["b"] * 12 + ["c"] * 11 + ["d"])
    kept, left_out = comparable_findings(ours, theirs, CONFIG)
    assert kept == ("a",)
    assert [line.split(";")[0] for line in left_out] == [
        "b is left out: 1 real patients, 12 synthetic pictures",
        "c is left out: 12 real patients, 11 synthetic pictures",
        "d is left out: 0 real patients, 1 synthetic pictures",
        "others is left out: 100 real patients, 0 synthetic pictures",
    ]


@pytest.mark.parametrize(
    ("findings", "split", "config", "line"),
    [
        (["x"] * 20, "train", CONFIG, "no finding is in both sets: --real has others, x; --synthetic has a"),
        (["a"] * 5, "train", CONFIG, "too few pictures: a is left out: 5 real patients"),
        (["a"] * 20, "validation", CONFIG.model_copy(update={"against": "test"}), "has no test part"),
        (["a"] * 20, None, CONFIG, "no picture is in a train part"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(stored_set, findings, split, config, line):
    with pytest.raises(BadInput, match=line):
        comparable_findings(real(stored_set, findings, split), synthetic(stored_set, ["a"] * 20), config)


def test_sets_of_two_sizes_are_told(stored_set):
    ours, same = stored_set("real", blank(3)), stored_set("synthetic", blank(4))
    assert describe_sizes(ours, same) == []
    (line,) = describe_sizes(ours, stored_set("other", blank(3)[:, :, :12]))
    assert line.startswith("the real set's pictures have 16 x 16 pixels, the synthetic set's 12 x 16: distances")


def test_a_picture_without_a_patient_is_one_of_its_own(stored_set):
    splits = ["train"] * 3
    found = stored_set("real", blank(3), finding=["a", "a", "b"], patient_id=["p", None, "p"], split=splits)
    side = open_images(found, 16)
    assert side.patients.tolist() == ["p", "real-0001", "p"]
    assert side.part("train").tolist() == [0, 1, 2] and side.part("validation", "test").tolist() == []


@pytest.mark.parametrize("shards", [False, True])
def test_pictures_are_read_by_their_rows_in_any_order(stored_set, shards):
    found = stored_set("real", blank(9), shards=shards)
    for side in (open_images(found, 16), load_images(found, 16, lambda count: None)):
        assert np.array_equal(side.read(np.array([7, 2, 7, 0])), blank(9)[[7, 2, 7, 0]])
        assert np.array_equal(side.select(np.array([8, 3])).read(np.array([1])), blank(9)[[3]])
        assert side.read(np.array([], int)).shape == (0, 16, 16)
