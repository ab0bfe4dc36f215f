from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.data.splits import (
    PARTS,
    describe_missing_findings,
    keep_official_split,
    manifest_digest,
    merge_groups,
    split_by_group,
)
from cxr.errors import BadInput

FINDINGS = ("normal", "pneumonia", "nodule")


@st.composite
def sets(draw):
    """Columns finding and group: 3 to 60 groups of each finding, 1 to 6 images each."""
    sizes = [
        (finding, draw(st.lists(st.integers(1, 6), min_size=3, max_size=60)))
        for finding in draw(st.lists(st.sampled_from(FINDINGS), min_size=2, unique=True))
    ]
    rows = [(f, f"{f}{g}") for f, counts in sizes for g, count in enumerate(counts) for _ in range(count)]
    return [(f,) for f, _ in rows], [g for _, g in rows]


@settings(max_examples=60)
@given(sets(), st.integers(0, 5))
def test_no_group_is_on_two_sides_and_every_finding_is_on_each(columns, seed: int):
    findings, groups = columns
    split = split_by_group(findings, groups, seed=seed)
    assert len(split.split) == len(split.fold) == len(findings)
    for column in (split.split, split.fold):
        assert len(set(zip(groups, column, strict=True))) == len(set(groups))
    assert {(f, p) for f, p in zip(findings, split.split, strict=True)} == {(f, p) for f in findings for p in PARTS}
    assert all((fold is not None) == (part == "train") for part, fold in zip(split.split, split.fold, strict=True))


@settings(max_examples=30)
@given(sets(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(columns, shuffler):
    rows = list(zip(*columns, strict=True))
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    straight, mixed = split_by_group(*columns), split_by_group(*zip(*(rows[i] for i in order), strict=True))
    assert [straight.split[i] for i in order] == mixed.split
    assert [straight.fold[i] for i in order] == mixed.fold


def many(count: int = 600) -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5, count)
    findings = np.array(FINDINGS)[rng.choice(3, count, p=[0.6, 0.3, 0.1])]
    return [(name,) for name in np.repeat(findings, sizes)], list(np.repeat(np.arange(count), sizes))


def test_parts_and_folds_have_the_shares_asked_for_in_every_finding():
    findings, groups = many()
    split = split_by_group(findings, groups, (0.6, 0.15, 0.25), folds=4)
    total = Counter(findings)
    found = Counter(zip(findings, split.split, strict=True))
    for finding in zip(FINDINGS, strict=True):
        for part, share in zip(PARTS, (0.6, 0.15, 0.25), strict=True):
            assert abs(found[finding, part] / total[finding] - share) < 0.03
    folds = Counter(fold for fold in split.fold if fold is not None)
    assert set(folds) == {0, 1, 2, 3} and max(folds.values()) - min(folds.values()) <= 6


def test_patients_with_many_pictures_are_in_every_part_alike():
    findings, groups = many()
    split, sizes = split_by_group(findings, groups), Counter(groups)
    part_of = dict(zip(groups, split.split, strict=True))
    means = [np.mean([sizes[group] for group, part in part_of.items() if part == p]) for p in PARTS]
    assert max(means) - min(means) < 0.4  # of 2.5 pictures a patient


def test_another_seed_is_another_split_of_the_same_shares():
    findings, groups = many()
    first, second = split_by_group(findings, groups, seed=1), split_by_group(findings, groups, seed=2)
    assert first == split_by_group(findings, groups, seed=1)
    changed = sum(a != b for a, b in zip(first.split, second.split, strict=True))
    assert changed > 0.2 * len(findings)


def test_too_few_patients_of_a_finding_are_told_by_its_name():
    with pytest.raises(BadInput, match=r"finding 'nodule' has images of 2 patients .* needs at least 3"):
        split_by_group([("normal",)] * 9 + [("nodule",)] * 4, [*range(9), 10, 10, 11, 11])


@pytest.mark.parametrize(
    ("mixed", "digest"),
    [
        (False, "bbd89d501c393587fb12a2ab86121ecd5093abe17c9dfefa9d52108f49ff173e"),
        (True, "32e784a902b62f82272abf83d2630c1029a0ce9111a3201ea9fe0b71fbeac797"),
    ],
    ids=["a finding a patient", "patients of several findings"],
)
def test_findings_that_exclude_each_other_are_split_as_by_version_0_1(mixed, digest):
    findings, groups = many()
    if mixed:
        findings = [findings[row] for row in np.random.default_rng(1).permutation(len(findings))]
    split = split_by_group(findings, groups, seed=3)
    rows = ((f"{row:04d}", *where) for row, where in enumerate(zip(split.split, split.fold, strict=True)))
    assert manifest_digest(rows) == digest


# --- several findings a picture ---

SEVERAL = {"effusion": 0.12, "nodule": 0.06, "edema": 0.03, "hernia": 0.006}


def several(patients: int = 1500) -> tuple[list[tuple[str, ...]], list[int]]:
    """Pictures of patients of whom the sick have more: a finding that a patient has is on half of the pictures, and an
    edema seldom comes without an effusion."""
    rng = np.random.default_rng(0)
    has = rng.random((patients, len(SEVERAL))) < list(SEVERAL.values())
    has[:, 0] |= has[:, 2] & (rng.random(patients) < 0.8)
    sizes = 1 + rng.poisson(0.5 + 2 * has.sum(axis=1))
    groups = np.repeat(np.arange(patients), sizes)
    shown = has[groups] & (rng.random((len(groups), len(SEVERAL))) < 0.5)
    return [tuple(np.array(list(SEVERAL))[row].tolist()) for row in shown], groups.tolist()


def spread(labels: list, groups: list[int], split: Sequence[str]) -> float:
    """How far the parts' shares of each label's pictures are from those asked for, in standard errors of a draw."""
    total, found = Counter(labels), Counter(zip(labels, split, strict=True))
    patients = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    shares = dict(zip(PARTS, (0.7, 0.1, 0.2), strict=True))
    errors = [
        (found[label, part] / total[label] - share) / np.sqrt(share * (1 - share) / patients[label])
        for label in total
        for part, share in shares.items()
        if patients[label] >= 10
    ]
    return float(np.sqrt(np.mean(np.square(errors))))


def test_findings_and_their_pairs_are_in_balance_and_so_is_who_has_many_pictures():
    findings, groups = several()
    rng, single, pairs = np.random.default_rng(1), {}, {}
    drawn = dict(zip(sorted(set(groups)), rng.choice(PARTS, 1500, p=[0.7, 0.1, 0.2]), strict=True))
    splits = {
        "ours": split_by_group(findings, groups, exclusive=False).split,
        "drawn": [str(drawn[group]) for group in groups],
    }
    for name, split in splits.items():
        for found, size in ((single, 1), (pairs, 2)):
            rows = [
                (c, group, part)
                for f, group, part in zip(findings, groups, split, strict=True)
                for c in combinations(f, size)
            ]
            found[name] = spread(*map(list, zip(*rows, strict=True)))
    assert single["ours"] < 0.5 < single["drawn"] and pairs["ours"] < 0.7 < pairs["drawn"], (single, pairs)
    part_of, sizes = dict(zip(groups, splits["ours"], strict=True)), Counter(groups)
    means = [np.mean([sizes[group] for group, part in part_of.items() if part == p]) for p in PARTS]
    assert max(means) - min(means) < 0.15 * np.mean(means)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_several_findings_a_picture_keep_patients_together_whatever_the_order(seed, shuffler):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 40, 120).tolist()
    findings = [tuple(f"f{n}" for n in np.flatnonzero(row)) for row in rng.random((120, 5)) < 0.3]
    order = list(range(120))
    shuffler.shuffle(order)
    straight = split_by_group(findings, groups, exclusive=False)
    mixed = split_by_group([findings[i] for i in order], [groups[i] for i in order], exclusive=False)
    assert ([straight.split[i] for i in order], [straight.fold[i] for i in order]) == (mixed.split, mixed.fold)
    assert len(set(zip(groups, straight.split, strict=True))) == len(set(groups))


def test_a_rare_one_of_several_findings_is_in_the_largest_parts_and_told():
    findings = [("nodule",), (), ("nodule", "edema"), ()] * 20
    findings[0], findings[2] = ("hernia",), ("nodule", "hernia")
    split = split_by_group(findings, list(range(80)), exclusive=False).split
    assert {split[0], split[2]} == {"train", "test"}
    (line,) = describe_missing_findings(findings, list(range(80)), split)
    assert line.startswith("not in every part: 'hernia' (2 patients, none in validation); where")
    assert describe_missing_findings(findings[3:], list(range(77)), split[3:]) == []
    with pytest.raises(BadInput, match="'hernia' has images of 2 patients"):
        split_by_group(findings, list(range(80)))


# --- near-duplicates, the publisher's split ---


def test_patients_with_pictures_alike_are_one_group_and_unknown_patients_are_their_own():
    #           a    a    b    unknown  unknown  c    d
    patients = ["a", "a", "b", None, None, "c", "d"]
    alike = np.array([0, 1, 1, 2, 3, 4, 3])  # a's second is b's; the second unknown is d's
    groups = merge_groups(patients, alike)
    assert groups[0] == groups[1] == groups[2] and groups[4] == groups[6]
    assert len(set(groups.tolist())) == 4


def test_the_publishers_split_is_kept_and_what_is_wrong_with_it_is_counted():
    splits = ["train"] * 100 + ["validation"] * 4 + ["test"] * 20
    patients = [f"p{i}" for i in range(100)] + ["p0", "p1", "v2", "v3"] + [f"t{i}" for i in range(19)] + ["p2"]
    alike = np.arange(124)
    alike[103] = alike[50]
    split, warnings = keep_official_split(
        splits, [("normal",), ("pneumonia",)] * 62, patients, alike, merge_groups(patients, alike), folds=5
    )
    assert split.split == splits
    assert [fold is None for fold in split.fold] == [False] * 100 + [True] * 24
    told = "\n".join(warnings)
    assert "validation part is tiny: 4 of 124" in told
    assert "normal" not in told and "not in every part" not in told
    assert "3 patients are in more than one part" in told and "1 groups of near-duplicates" in told


@pytest.mark.parametrize(("splits", "told"), [(["train", None], "1 of 2 images"), (["test", "test"], "no train part")])
def test_a_publishers_split_that_cannot_be_kept_is_refused(splits, told):
    with pytest.raises(BadInput, match=told):
        keep_official_split(splits, [("normal",), ("pneumonia",)], [None, None], np.arange(2), np.arange(2))


def test_the_manifests_digest_follows_the_split():
    rows = [("a", "train", 0), ("b", "train", 1), ("c", "test", None)]
    others = [("a", "train", 1), ("b", "train", 0), ("c", "test", None)], [("a", "test", None), *rows[1:]]
    assert len({manifest_digest(each) for each in (rows, *others)}) == 3
