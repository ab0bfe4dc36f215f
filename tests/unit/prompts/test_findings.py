"""Findings as a user names them, and attributes that fit their pattern."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.errors import BadInput
from cxr.prompts.findings import (
    BINARY,
    COMBINABLE,
    EITHER_SIDED,
    FINDINGS,
    GRADED,
    HEARTS,
    ONE_SIDED,
    PATTERNS,
    ZONED,
    parse_findings,
    patterns_of,
    sample_attributes,
    sample_combination,
)


def test_all_means_the_ten() -> None:
    assert parse_findings("all") == FINDINGS
    assert len(FINDINGS) == 10


@given(st.lists(st.sampled_from(FINDINGS + BINARY), min_size=1, unique=True), st.sampled_from([",", ", ", " , "]))
def test_a_list_comes_back_in_the_order_given(names: list[str], comma: str) -> None:
    assert parse_findings(comma.join(names)) == tuple(names)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Lung_Opacity", "Lung_Opacities"),
        ("lung_opacities", "Lung_Opacities"),
        ("Pneumonia", "pneumonia"),
        ("Lung", "did you mean Lung_Opacities?"),
        ("normal,Cardiac_Finding", "Cardiac_Findings"),
        ("../../x", "known: Normal_Anatomy"),
        ("", "known: Normal_Anatomy"),
        ("normal,", "known: Normal_Anatomy"),
        ("x" * 5000, "known: Normal_Anatomy"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(BadInput, match="--findings: no finding is called") as caught:
        parse_findings(text)
    message = str(caught.value)
    assert hint in message
    assert "\n" not in message and len(message) < 400


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="twice"):
        parse_findings("normal,pneumonia, normal")


def test_a_pattern_has_one_right_label() -> None:
    counts = Counter(pattern for patterns in PATTERNS.values() for pattern in patterns)
    assert set(counts.values()) == {1}


@given(st.sampled_from(FINDINGS + BINARY), st.sampled_from("FM"), st.integers(1, 95), st.integers(0, 2**32))
def test_attributes_fit_their_pattern(finding: str, sex: str, age: int, seed: int) -> None:
    drawn = sample_attributes((finding,), sex, age, np.random.default_rng(seed))
    assert (drawn.findings, drawn.sex, drawn.age) == ((finding,), sex, age)
    (sign,) = drawn.signs
    assert sign.pattern in patterns_of(finding)
    assert (sign.severity is not None) == (sign.pattern in GRADED)
    assert (sign.zone is not None) == (sign.pattern in ZONED)
    assert (sign.side is not None) == (sign.pattern in ONE_SIDED | EITHER_SIDED)
    assert sign.side != "bilateral" or sign.pattern in EITHER_SIDED
    assert (drawn.view == "lateral") == (sign.pattern == "lateral_view")


def test_every_pattern_of_a_finding_is_drawn() -> None:
    rng = np.random.default_rng(0)
    for finding in FINDINGS:
        drawn = {sample_attributes((finding,), "F", 50, rng).signs[0].pattern for _ in range(200)}
        assert drawn == set(patterns_of(finding))


def test_combinations_are_two_or_three_patterns_with_one_heart() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_combination(rng) for _ in range(600)]
    assert {len(set(one)) for one in drawn} == {2, 3} == {len(one) for one in drawn}
    assert {pattern for one in drawn for pattern in one} == set(COMBINABLE)
    assert not [one for one in drawn if set(HEARTS) <= set(one)]
