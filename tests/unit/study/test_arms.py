"""Which pictures an arm gets: its share of each class, nested, the same for the same seed; and what cannot be had."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cxr.classify.config import ClassifyConfig
from cxr.data.subsets import entry_shares
from cxr.errors import BadInput
from cxr.study.arms import Pool, check_counts, draw_training_set, read_arms, shuffle_labels
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms

STEPS_OF = ClassifyConfig(epochs=3, batch=32).steps


@pytest.fixture
def pool() -> Pool:
    """60 real pictures of class 0 and 20 of class 1; 80 and 40 synthetic ones behind them."""
    real, synthetic = np.repeat([0, 1], [60, 20]), np.repeat([0, 1], [80, 40])
    entry = entry_shares(real.astype(str), [f"p{row}" for row in range(80)], 1)
    return Pool(np.arange(80), real, entry, np.arange(80, 200), synthetic, np.ones(120, bool))


def test_each_class_gives_its_share(pool: Pool) -> None:
    found = draw_training_set(Arm(name="a", real=25, synthetic=50), pool, seed=1)
    assert [(found.real < 60).sum(), (found.real >= 60).sum()] == [15, 5]
    assert [(found.synthetic < 160).sum(), (found.synthetic >= 160).sum()] == [30, 10]  # of the real counts


def test_smaller_parts_lie_in_larger_ones_of_the_same_seed(pool: Pool) -> None:
    parts = [draw_training_set(Arm(name="a", real=p, synthetic=p), pool, seed=7) for p in (10, 25, 50, 100)]
    for small, large in pairwise(parts):
        assert set(small.real) < set(large.real) and set(small.synthetic) < set(large.synthetic)
    other = draw_training_set(Arm(name="a", synthetic=25), pool, seed=8)
    assert set(other.synthetic) != set(parts[1].synthetic)


def test_a_part_of_the_real_data_is_the_same_with_every_seed(pool: Pool) -> None:
    """One generator can have learned from just these pictures. In 0.1 each seed drew others."""
    parts = [draw_training_set(Arm(name="a", real=25, synthetic=50), pool, seed) for seed in (7, 8)]
    assert np.array_equal(parts[0].real, parts[1].real)
    assert not np.array_equal(parts[0].synthetic, parts[1].synthetic)


def test_arms_draw_alike_whatever_else_is_drawn(pool: Pool) -> None:
    alone, mixed = (draw_training_set(Arm(name="a", real=25, synthetic=s), pool, seed=7) for s in (0, 100))
    assert np.array_equal(alone.real, mixed.real) and not len(alone.synthetic)


def test_the_smallest_share_is_one_picture_of_each_class(pool: Pool) -> None:
    assert len(draw_training_set(Arm(name="a", real=0.1), pool, seed=1).real) == 2


def exposures(arm: Arm, pool: Pool, budget: int | None) -> tuple[float, int]:
    """How often each real picture is shown, in batches of one, and the steps of all phases."""
    found = draw_training_set(arm, pool, seed=1)
    phases = found.phases(arm, ClassifyConfig(epochs=3, batch=2).steps, budget)
    shown = sum(steps * np.isin(rows, found.real).mean() for rows, steps in phases)
    return shown / max(len(found.real), 1), sum(steps for _, steps in phases)


def test_every_arm_takes_the_steps_of_the_baseline_or_its_share(pool: Pool) -> None:
    for arm in standard_arms():
        assert exposures(arm, pool, 900)[1] == round(9 * arm.steps)


@pytest.mark.parametrize("budget", ["steps", "epochs"])
def test_a_control_shows_each_real_picture_as_often_as_its_arm_or_as_often_as_it_can(pool: Pool, budget: str) -> None:
    """At equal steps synth_50 and synth_100 show it 2/3 and 1/2 as often as the baseline. In 0.1 the control of the one
    was missing, and that of the other was the baseline again."""
    arms = {arm.name: arm for arm in standard_arms(budget)}
    for arm in (arm for arm in arms.values() if arm.control and arm.real == 100):
        own, control = (exposures(one, pool, 900 if budget == "steps" else None) for one in (arm, arms[arm.control]))
        if budget == "steps":
            assert control[0] == pytest.approx(own[0], rel=0.01)
        else:
            assert control[1] == own[1]  # as many steps, all of real pictures
    steps = 900 if budget == "steps" else None
    same = [name for name, arm in arms.items() if not arm.synthetic and arm.real == 100
            and exposures(arm, pool, steps) == exposures(arms[BASELINE], pool, steps)]  # fmt: skip
    assert same == [BASELINE]  # no arm is the baseline again


@pytest.mark.parametrize(("budget", "real_alone"), [
    ("steps", {"real_short_67", "real_short_50"}), ("epochs", {"duplicate_real_100"}),
])  # fmt: skip
def test_a_budget_brings_its_controls(budget: str, real_alone: set[str]) -> None:
    arms = standard_arms(budget)
    assert {arm.name for arm in arms if arm.real == 100 and not arm.synthetic} == {BASELINE, *real_alone}
    few = standard_arms(budget, only=("limited_10",))
    assert [arm.name for arm in few] == [BASELINE, "limited_10", "limited_10_real"]


def test_shuffled_labels_are_as_many_of_each_class_and_say_nothing() -> None:
    labels = np.arange(4000) % 2
    rows = np.arange(1000, 4000)
    shuffled = shuffle_labels(labels, rows, seed=3)
    assert np.array_equal(shuffled[:1000], labels[:1000]) and np.array_equal(labels, np.arange(4000) % 2)
    assert shuffled[rows].sum() == labels[rows].sum()
    assert abs(np.corrcoef(shuffled[rows], labels[rows])[0, 1]) < 0.06
    assert not np.array_equal(shuffled, shuffle_labels(labels, rows, seed=4))
    assert np.array_equal(shuffled, shuffle_labels(labels, rows, seed=3))


def test_budget_in_epochs_follows_the_pictures(pool: Pool) -> None:
    both = Arm(name="a", synthetic=100)
    [(rows, steps)] = draw_training_set(both, pool, 1).phases(both, STEPS_OF, None)
    assert (len(rows), steps) == (160, 15)


def test_synthetic_first_then_real(pool: Pool) -> None:
    arm = Arm(name="a", synthetic=100, order="synthetic_first")
    (first, _), (second, _) = draw_training_set(arm, pool, 1).phases(arm, STEPS_OF, 9)
    assert first.min() >= 80 and second.max() < 80


def test_each_of_two_phases_takes_a_step_at_least(pool: Pool) -> None:
    arm = Arm(name="a", synthetic=100, order="synthetic_first")
    assert [steps for _, steps in draw_training_set(arm, pool, 1).phases(arm, STEPS_OF, 1)] == [1, 1]


def test_repeated_real_pictures_are_the_same_ones(pool: Pool) -> None:
    arm = Arm(name="a", repeat=2)
    [(rows, _)] = draw_training_set(arm, pool, 1).phases(arm, STEPS_OF, 9)
    assert np.array_equal(np.unique(rows, return_counts=True)[1], np.full(80, 2))


def test_too_few_synthetic_pictures_are_told_with_arm_and_number(pool: Pool) -> None:
    config = StudyConfig(arms=(Arm(name=BASELINE), Arm(name="much", synthetic=250)))
    with pytest.raises(BadInput, match=r"arm much: needs 150 .* of normal, there are 80: 70 missing; generate more$"):
        check_counts(config, lambda arm: pool, ["normal", "pneumonia"])


def test_a_set_too_small_for_some_arms_is_told_how_to_leave_them_out(pool: Pool) -> None:
    config = StudyConfig(arms=standard_arms(only=("synth_50", "synth_100", "limited_10")))
    small = Pool(pool.real, pool.real_labels, pool.entry, pool.synthetic[40:100], pool.synthetic_labels[40:100],
                 pool.accepted[40:100])  # fmt: skip
    with pytest.raises(BadInput, match=r"arm synth_100: .*there are 40: .*--without synth_100,limited_10$"):
        check_counts(config, lambda arm: small, ["normal", "pneumonia"])


def chosen(**options: str) -> tuple[set[str], str | None]:
    config = StudyConfig(arms=standard_arms(only=("synth_50", "synth_100", "limited_10")), **options)
    return {arm.name for arm in config.arms}, config.primary


def test_arms_are_chosen_with_their_controls() -> None:
    """The answer is about the only arm that is left, where the usual one is not."""
    assert chosen(only="synth_50", primary="synth_100") == ({BASELINE, "synth_50", "real_short_67"}, "synth_50")
    assert chosen(without="synth_50,limited_10") == ({BASELINE, "synth_100", "real_short_50"}, "synth_100")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"only": "synth_5"}, "did you mean synth_50"),
        ({"without": BASELINE}, "compared with it"),
        ({"without": "real_short_67"}, "is the control of synth_50"),
        ({"without": "synth_100", "primary": "synth_100"}, "name the arm .*: synth_50 or limited_10"),
    ],
)
def test_what_cannot_be_chosen(options: dict[str, str], why: str) -> None:
    with pytest.raises((BadInput, ValueError), match=why):
        chosen(**options)


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
        ('[[arm]]\nname = "a"\nshuffled = true\n', "shuffled needs synthetic"),
        ('[[arm]]\nname = "a"\nsteps = 0\n', "steps"),
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


def test_the_primary_arm_is_named_or_plain() -> None:
    two = (Arm(name=BASELINE), Arm(name="a", real=10), Arm(name="b", synthetic=10))
    assert StudyConfig().primary == "synth_100"
    assert StudyConfig(arms=two[:2]).primary == "a" and StudyConfig(arms=two[:1]).primary is None
    assert StudyConfig(arms=two).primary is None and StudyConfig(arms=two, primary="b").primary == "b"
    for wrong in ("c", BASELINE):
        with pytest.raises(ValueError, match="give one of: a, b"):
            StudyConfig(arms=two, primary=wrong)


@pytest.mark.parametrize(
    ("seeds", "told"), [((1, 2, 1), "seed 1: stands twice"), ((1, -1), "seed -1"), ((2**62,), "seed")]
)
def test_seeds_that_make_no_study(seeds: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StudyConfig(seeds=seeds)
