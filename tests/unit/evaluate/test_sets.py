import numpy as np
import pytest

from cxr.data.labels import LabelPolicy, Labels
from cxr.errors import BadInput
from cxr.evaluate.config import EvaluateConfig, identity
from cxr.evaluate.sets import comparable_findings, describe_sizes, load_images, open_images
from tests.stored import label_columns

CONFIG = EvaluateConfig(min_samples=12, against="all")
SMALL = EvaluateConfig.model_construct(size=16, labels=LabelPolicy())


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
    side = open_images(found, SMALL)
    assert side.patients.tolist() == ["p", "real-0001", "p"]
    assert side.part("train").tolist() == [0, 1, 2] and side.part("validation", "test").tolist() == []


BOTH, ONE, NONE = Labels(("a", "b"), None), Labels(("a",), ("b", "c")), Labels((), None)
DOUBTFUL = Labels(("b",), ("a",), ("c",))


def several(stored_set, name: str, labels: list[Labels], findings: str = "abc"):
    """Pictures that can show several findings, all for training."""
    columns = label_columns(labels, tuple(findings))
    return stored_set(name, blank(len(labels)), split=["train"] * len(labels), **columns)


def test_a_picture_counts_for_each_finding_that_it_shows_and_once_for_all(stored_set):
    pictures = [BOTH] * 8 + [ONE] * 6 + [NONE] * 12 + [DOUBTFUL] * 4 + [Labels()]
    ours, theirs = several(stored_set, "real", pictures), several(stored_set, "synthetic", pictures[:-1])
    assert comparable_findings(ours, theirs, CONFIG) == (
        ("No_Finding", "a", "b"),
        ["unlabelled is left out: 1 real patients, 0 synthetic pictures; 12 needed"],
    )
    side = open_images(ours, SMALL)
    assert side.findings[[0, 8, 14, 26, 30]].tolist() == ["a+b", "a", "No_Finding", "b", "unlabelled"]
    shown = {name: side.labels.shows(name).sum() for name in side.labels.names}
    assert shown == {"No_Finding": 12, "a": 14, "b": 12, "c": 0, "unlabelled": 1}
    assert side.labels.shows("a", "b", "No_Finding").sum() == 30


def test_what_doubt_counts_as_is_an_option_and_stands_in_the_recipe_where_it_is_not_the_usual(stored_set):
    found = several(stored_set, "real", [DOUBTFUL, Labels((), ("a",))])
    known = open_images(found, SMALL).labels
    assert not known.shows("c", "No_Finding", "unlabelled").any()
    bold = EvaluateConfig(labels=LabelPolicy(uncertain="present", unknown="absent"))
    assert open_images(found, bold).labels.shows("c").tolist() == [True, False]
    assert open_images(found, bold).labels.shows("No_Finding").tolist() == [False, True]
    usual, changed = (identity(config, "e", "r", "s") for config in (EvaluateConfig(), bold))
    assert "labels" not in usual and changed.pop("labels") == {"uncertain": "present", "unknown": "absent"}
    assert usual == changed


def test_pictures_without_findings_are_compared_only_where_that_means_the_same(stored_set):
    ours = several(stored_set, "real", [NONE, ONE] * 20)
    theirs = several(stored_set, "synthetic", [NONE, Labels(("a",), None)] * 20, findings="ab")
    assert comparable_findings(ours, theirs, CONFIG) == (
        ("a",),
        ["No_Finding is left out: the labels of one set speak of c, those of the other do not"],
    )


@pytest.mark.parametrize("shards", [False, True])
def test_pictures_are_read_by_their_rows_in_any_order(stored_set, shards):
    found = stored_set("real", blank(9), shards=shards)
    for side in (open_images(found, SMALL), load_images(found, SMALL, lambda count: None)):
        assert np.array_equal(side.read(np.array([7, 2, 7, 0])), blank(9)[[7, 2, 7, 0]])
        assert np.array_equal(side.select(np.array([8, 3])).read(np.array([1])), blank(9)[[3]])
        assert side.read(np.array([], int)).shape == (0, 16, 16)
