"""What a synthetic picture is worth, over simulated studies whose learning curve and worth are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from cxr.recipes.studies import worth as worth_recipe
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms
from cxr.study.influence import auroc
from cxr.study.learning_curve import MonotoneCurves, PowerLaws, choose_form, fit_p
from cxr.study.learning_results import LearningCurve, Worth
from cxr.study.results import TestSet, Trial
from cxr.study.statistics import estimate
from cxr.study.worth import Mix, draw_noise, explain_no_worth, foresee_no_worth, learn, read_worth
from cxr.study.worth_words import describe_worth
from tests.unit.study.test_summary import part, trial

SIZES = (40, 100, 200, 400)


@dataclass(frozen=True)
class Truth:
    """Scores of pictures are normal, and those that show the class higher by a constant, which gives the AUROC."""

    a: float = 0.93
    b: float = 1.3  # of the true curve a - b n^-c, where the curve is of that form
    c: float = 0.6
    step: bool = False  # no power law: nothing is learned up to 150 pictures, and all at once
    real: int = 200
    synthetic: int = 200
    worth: float = 0.0
    seeds: int = 5
    patients: int = 300
    own_sd: float = 0.8  # what every network sees in a patient
    arm_sd: float = 0.3  # and every network of an arm
    train_sd: float = 0.3  # and a single network
    seed_sd: float = 0.1  # of the constant, from seed to seed, half of its variance the same for all arms

    def curve(self, size: float) -> float:
        if self.step:
            return float(0.7 + 0.2 * stats.norm.cdf(np.log(size / 150) / 0.15))
        return float(self.a - self.b * size**-self.c)

    def study(self, rng: np.random.Generator, draws: int = 1000) -> LearningCurve:
        at = [*SIZES, self.real + self.worth * self.synthetic]
        spread = np.sqrt(2 * (self.own_sd**2 + self.arm_sd**2 + self.train_sd**2) + self.seed_sd**2)
        levels = stats.norm.ppf([self.curve(size) for size in at])[:, None] * spread
        both = rng.normal(0, self.seed_sd / np.sqrt(2), (1, self.seeds))
        levels = levels + both + rng.normal(0, self.seed_sd / np.sqrt(2), (len(at), self.seeds))
        shown, owners = rng.random(self.patients) < 0.5, np.arange(self.patients)
        own = rng.normal(0, self.own_sd, self.patients)
        arms = []
        for arm in levels:
            seen = own + rng.normal(0, self.arm_sd, self.patients)
            scores = seen + rng.normal(0, self.train_sd, (self.seeds, self.patients)) + arm[:, None] * shown
            arms.append({seed: auroc(one, shown, owners) for seed, one in enumerate(scores)})
        mix = Mix("mix", self.real, self.synthetic, arms.pop())
        return learn(dict(zip(SIZES, arms, strict=True)), [mix], rng, draws)


def held(truth: Truth, found: Sequence[LearningCurve]) -> float:
    """Share of the studies that say anything whose interval holds the truth."""
    return float(np.mean([holds(curve, one, truth.worth) for curve in found for one in curve.readings]))


def holds(curve: LearningCurve, one: Worth, worth: float) -> bool:
    low = -np.inf if curve.beyond(one.equivalent_low) < 0 else one.low
    high = np.inf if curve.beyond(one.equivalent_high) > 0 else one.high
    return bool(low <= worth <= high)


def studies(truth: Truth, count: int) -> list[LearningCurve]:
    rng = np.random.default_rng(0)
    return [truth.study(rng, draws=300 if count < 100 else 1000) for _ in range(count)]


COPIES, NEW, HARM = Truth(worth=0.0), Truth(worth=1.0), Truth(worth=-0.5)


@pytest.mark.parametrize("truth", [COPIES, NEW, HARM], ids=["copies", "new", "harm"])
def test_a_planted_worth_is_found_and_held_by_its_interval(truth: Truth):
    found = studies(truth, 20)
    read = [one for curve in found for one in curve.readings]
    assert len(read) == 20 and held(truth, found) >= 0.8
    assert np.median([one.worth for one in read]) == pytest.approx(truth.worth, abs=0.4)
    if truth is HARM:
        assert np.mean([one.high < 0 for one in read]) >= 0.2


SLOW = [COPIES, NEW, HARM, Truth(step=True, worth=1.0, real=100, synthetic=100)]


@pytest.mark.slow
@pytest.mark.parametrize("truth", SLOW)
def test_of_1000_studies_95_percent_hold_the_truth(truth: Truth):
    """93.6 % is below 95 % by two standard errors."""
    assert held(truth, studies(truth, 1000)) >= 0.936


def test_a_flat_curve_gives_no_number():
    flat = Truth(a=0.8, b=0.0, worth=1.0)
    found = studies(flat, 10)
    assert np.mean([curve.flat for curve in found]) >= 0.8
    assert all(curve.flat != bool(curve.readings) for curve in found)
    (line,) = describe_worth(next(curve for curve in found if curve.flat))
    assert line.startswith("The learning curve is flat here, so what a synthetic picture is worth cannot be told: from")


def test_where_a_power_law_does_not_fit_the_curve_is_monotone_and_ends_where_it_was_measured():
    curve = Truth(step=True, worth=1.0).study(np.random.default_rng(0))
    assert (curve.form, curve.reach) == ("monotone", [40.0, 400.0])
    said, line = describe_worth(curve)
    assert "so it is the nearest curve that never falls" in said and " to more than 100)" in line


def test_power_laws_are_found_again_and_read_backwards():
    sizes, at = np.array(SIZES), np.array([60.0, 333.0, 790.0])
    heights = 0.93 - 1.3 * sizes**-0.6
    fitted = PowerLaws.fit(sizes, np.tile(heights, (3, 1)))
    assert fitted.at(sizes)[0] == pytest.approx(heights, abs=2e-4)
    assert fitted.read(0.93 - 1.3 * at**-0.6) == pytest.approx(at, rel=0.02)
    assert fitted.read(np.array([0.5, 0.95, 0.93 - 1.3 * 2000**-0.6])).tolist() == [20.0, 800.0, 800.0]
    noise = np.random.default_rng(0).normal(0, 0.003, (500, 4))
    assert fit_p(sizes, heights, noise) > 0.9 > 0.05 > fit_p(sizes, np.array([0.7, 0.7, 0.9, 0.9]), noise)


def test_a_curve_that_does_not_bend_is_not_extrapolated():
    """Where each doubling adds as much or more, no end can be told from it."""
    sizes, noise = np.array(SIZES), np.random.default_rng(0).normal(0, 0.02, (500, 4))
    assert choose_form(sizes, 0.93 - 1.3 * sizes**-0.6, noise)[0] == "power"
    assert choose_form(sizes, 0.5 + 0.001 * sizes, noise)[0] == "monotone"


def test_monotone_curves_are_isotonic_regressions():
    rng, sizes = np.random.default_rng(0), np.array(SIZES)
    heights = rng.random((20, 4))
    curves = MonotoneCurves.fit(sizes, heights)
    expected = [IsotonicRegression().fit(np.arange(4), one).predict(np.arange(4)) for one in heights]
    assert np.allclose(curves.heights, expected)
    between = MonotoneCurves.fit(sizes, np.array([[0.6, 0.7, 0.8, 0.9]] * 3))
    assert between.read(np.array([0.65, 0.9, 0.5])) == pytest.approx([np.sqrt(40 * 100), 400, 40])


def test_a_difference_of_two_arms_is_drawn_with_its_own_error():
    """That of the statistics of a difference, which the readings share."""
    rng, patients = np.random.default_rng(0), np.arange(300)
    shown, own = patients % 2 == 0, rng.normal(size=300)
    arms = [
        {seed: auroc(own + rng.normal(0, 0.6, 300) + level * shown, shown, patients) for seed in range(30)}
        for level in (1.0, 1.4)
    ]
    noise = draw_noise(arms, range(30), 20_000, rng)
    values, components = (
        np.array([getattr(arms[1][seed], name) - getattr(arms[0][seed], name) for seed in range(30)])
        for name in ("value", "components")
    )
    assert (noise[:, 1] - noise[:, 0]).std() == pytest.approx(estimate(values, components).error, rel=0.05)


def curve_study(config: StudyConfig, levels: dict[str, float]) -> LearningCurve | None:
    trials, test = curve_trials(config, levels)
    return read_worth(config, trials, test, np.random.default_rng(0))


def curve_trials(config: StudyConfig, levels: dict[str, float]) -> tuple[list[Trial], TestSet]:
    counts = {arm.name: {"real": int(10 * arm.real), "synthetic": int(10 * arm.synthetic)} for arm in config.arms}
    test = part(60)
    trials = [
        trial(test, arm.name, seed, levels.get(arm.name, arm.real / 50), **counts[arm.name])
        for arm in config.arms
        for seed in config.seeds
    ]
    return trials, test


def test_a_curve_that_lost_an_arm_says_why_no_worth_is_told():
    whole = worth_recipe().model_copy(update={"seeds": (42, 123)})
    fewer = whole.model_copy(update={"arms": tuple(arm for arm in whole.arms if arm.name != "real_50")})
    assert curve_study(fewer, {}) is None
    assert "4 sizes of real pictures alone" in (line := explain_no_worth(fewer, curve_trials(fewer, {})[0])[0])
    assert line.endswith("this study has 3.")
    assert foresee_no_worth(fewer) == [line] and foresee_no_worth(whole) == foresee_no_worth(StudyConfig()) == []
    assert explain_no_worth(StudyConfig(), []) == []


def test_the_recipe_reads_each_synthetic_arm_off_its_real_only_arms():
    config = worth_recipe().model_copy(update={"seeds": (42, 123, 456)})
    levels = {BASELINE: 2.0, "real_50": 1.5, "real_25": 1.0, "real_10": 0.5, "shuffled_100": 0.8}
    levels |= {"synth_50": 2.0, "synth_100": 2.0, "real_25_synth_25": 1.5, "real_50_synth_50": 1.5}
    curve = curve_study(config, levels)
    assert curve.sizes == [100, 250, 500, 1000] and curve.aurocs == sorted(curve.aurocs)
    found = {one.arm: one for one in curve.readings}
    assert set(found) == {arm.name for arm in config.arms if arm.synthetic}
    assert found["shuffled_100"].high < 0 < found["real_25_synth_25"].low
    assert found["real_50_synth_50"].low < 0 < found["real_50_synth_50"].high
    assert (found["real_25_synth_25"].real, found["real_25_synth_25"].synthetic) == (250, 250)
    lines = describe_worth(curve, saw_more=["real_25_synth_25"])
    (within,) = [line for line in lines if line.startswith("real_25_synth_25 (250 synthetic")]
    assert "more real ones would have" in within and within.endswith("so this is no answer for few real data.")
    assert "fewer real ones would have" in next(line for line in lines if line.startswith("shuffled_100"))


def test_a_study_without_real_only_arms_of_four_sizes_or_at_equal_epochs_reads_nothing():
    """In as many epochs more pictures are more steps, and copies would be worth something."""
    seeds = (42, 123)
    assert curve_study(StudyConfig(arms=standard_arms(), seeds=seeds), {}) is None
    assert curve_study(StudyConfig(arms=worth_recipe().arms, seeds=seeds, budget="epochs"), {}) is None
    alone = [Arm(name=BASELINE), *(Arm(name=f"r{share}", real=share) for share in (10, 25, 50))]
    assert curve_study(StudyConfig(arms=tuple(alone), seeds=seeds), {}).readings == []


def test_what_lies_beyond_the_curve_is_named():
    aurocs, band = [0.7, 0.8, 0.85, 0.9], [[40.0, 0.8, 0.7, 0.9]]
    curve = LearningCurve("power", 0.5, [*SIZES], aurocs, [0.2, 0.1, 0.3], [20.0, 800.0], band, [])
    inside = Worth("synth_100", 100, 200, 0.86, 128.0, 106.0, 160.0, 0.14, 0.03, 0.3)
    named = "synth_100 (200 synthetic beside 100 real pictures): "

    def said(**changes: float) -> str:
        return describe_worth(replace(curve, readings=[replace(inside, **changes)]))[1]

    assert said() == f"{named}100 synthetic pictures did what 14 (3 to 30) more real ones would have."
    assert said(worth=-0.14, low=-0.3, high=0.03).endswith("did what 14 (-3 to 30) fewer real ones would have.")
    assert "14 (3 to more than 350) more real ones would have; the interval goes beyond the 40 to 400" in said(
        equivalent_high=800.0, high=3.5
    )
    assert "an extrapolation of the fitted curve." in said(equivalent=500.0, worth=2.0)
    assert said(equivalent_low=20.0, equivalent_high=800.0).startswith(
        f"{named}what its synthetic pictures are worth cannot be told"
    )
