"""Which pictures an arm gets: its share of each class, nested, the same for the same seed; and what cannot be had."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cxr.classify.config import ClassifyConfig
from cxr.errors import BadInput
from cxr.study.arms import Pool, check_counts, drawn, read_arms
from cxr.study.config import BASELINE, CONTROLS, GUIDE, Arm, StudyConfig

STEPS_OF = ClassifyConfig(epochs=3, batch=32).steps


@pytest.fixture
def pool() -> Pool:
    """60 real pictures of class 0 and 20 of class 1; 80 and 40 synthetic ones behind them."""
    real, synthetic = np.repeat([0, 1], [60, 20]), np.repeat([0, 1], [80, 40])
    return Pool(np.arange(80), real, np.arange(80, 200), synthetic)


def test_each_class_gives_its_share(pool: Pool) -> None:
    found = drawn(Arm(name="a", real=25, synthetic=50), pool, seed=1)
    assert [(found.real < 60).sum(), (found.real >= 60).sum()] == [15, 5]
    assert [(found.synthetic < 160).sum(), (found.synthetic >= 160).sum()] == [30, 10]  # of the real counts


def test_smaller_parts_lie_in_larger_ones_of_the_same_seed(pool: Pool) -> None:
    parts = [drawn(Arm(name="a", real=p, synthetic=p), pool, seed=7) for p in (10, 25, 50, 100)]
    for small, large in pairwise(parts):
        assert set(small.real) < set(large.real) and set(small.synthetic) < set(large.synthetic)
    other = drawn(Arm(name="a", real=25), pool, seed=8)
    assert set(other.real) != set(parts[1].real)


def test_arms_draw_alike_whatever_else_is_drawn(pool: Pool) -> None:
    alone, mixed = (drawn(Arm(name="a", real=25, synthetic=s), pool, seed=7) for s in (0, 100))
    assert np.array_equal(alone.real, mixed.real) and not len(alone.synthetic)


def test_the_smallest_share_is_one_picture_of_each_class(pool: Pool) -> None:
    assert len(drawn(Arm(name="a", real=0.1), pool, seed=1).real) == 2


def test_every_arm_takes_the_steps_of_the_baseline(pool: Pool) -> None:
    for arm in (*GUIDE, *CONTROLS):
        if arm.synthetic <= 100 and arm.real:
            phases = drawn(arm, pool, seed=1).phases(arm, STEPS_OF, 9)
            assert sum(steps for _, steps in phases) == 9


def test_budget_in_epochs_follows_the_pictures(pool: Pool) -> None:
    both = Arm(name="a", synthetic=100)
    [(rows, steps)] = drawn(both, pool, 1).phases(both, STEPS_OF, None)
    assert (len(rows), steps) == (160, 15)


def test_synthetic_first_then_real(pool: Pool) -> None:
    arm = Arm(name="a", synthetic=100, order="synthetic_first")
    (first, _), (second, _) = drawn(arm, pool, 1).phases(arm, STEPS_OF, 9)
    assert first.min() >= 80 and second.max() < 80


def test_each_of_two_phases_takes_a_step_at_least(pool: Pool) -> None:
    arm = Arm(name="a", synthetic=100, order="synthetic_first")
    assert [steps for _, steps in drawn(arm, pool, 1).phases(arm, STEPS_OF, 1)] == [1, 1]


def test_repeated_real_pictures_are_the_same_ones(pool: Pool) -> None:
    arm = Arm(name="a", repeat=2)
    [(rows, _)] = drawn(arm, pool, 1).phases(arm, STEPS_OF, 9)
    assert np.array_equal(np.unique(rows, return_counts=True)[1], np.full(80, 2))


def test_too_few_synthetic_pictures_are_told_with_arm_and_number(pool: Pool) -> None:
    config = StudyConfig(arms=(Arm(name=BASELINE), Arm(name="much", synthetic=250)))
    with pytest.raises(BadInput, match=r"arm much: needs 150 .* of normal, there are 80: 70 are missing"):
        check_counts(config, pool, ["normal", "pneumonia"])


def test_arms_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    file.write_text('[[arm]]\nname = "synth_200"\nsynthetic = 200\ncontrol = "baseline"\n')
    assert read_arms(file) == (Arm(name="synth_200", synthetic=200, control="baseline"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[arm]]\nname = "a"\nsynthetik = 3\n', "synthetik"),
        ('[[arm]]\nname = "A b"\n', "name"),
        ('[[arm]]\nname = "a"\nreal = 0\n', "neither real nor synthetic"),
        ('[[arm]]\nname = "a"\nreal = "much"\n', "real"),
        ("[arm]\n", r"\[\[arm\]\]"),
        ("arms = 3\n", "holds arms"),
        ("arm = [1, 2", "cannot be read"),
        ("", "nothing"),
    ],
)
def test_a_bad_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=told) as bad:
        read_arms(file)
    assert str(file) in str(bad.value)


@pytest.mark.parametrize(
    ("arms", "told"),
    [
        ((Arm(name="a"),), "baseline"),
        ((Arm(name=BASELINE), Arm(name="a", real=10), Arm(name="a", real=20)), "arm a: stands twice"),
        ((Arm(name=BASELINE), Arm(name="a", real=10, control="gone")), "gone"),
        ((Arm(name=BASELINE), Arm(name="a", real=10, control=BASELINE)), "not the same real data alone"),
        ((Arm(name=BASELINE), Arm(name="a", real=10, control="a")), "not the same real data alone"),
        ((Arm(name=BASELINE), Arm(name="b", synthetic=5), Arm(name="a", control="b")), "another arm of 100 % real"),
    ],
)
def test_arms_that_make_no_study(arms: tuple[Arm, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StudyConfig(arms=arms)


@pytest.mark.parametrize(
    ("seeds", "told"), [((1, 2, 1), "seed 1: stands twice"), ((1, -1), "seed -1"), ((2**62,), "seed")]
)
def test_seeds_that_make_no_study(seeds: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StudyConfig(seeds=seeds)
