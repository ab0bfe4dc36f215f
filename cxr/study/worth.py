"""What a synthetic picture is worth in real ones: each synthetic arm is read off the learning curve of real pictures.

The curve is that of arms with a part of the real pictures and no others, all trained for as many steps. An arm of n
real and m synthetic pictures whose AUROC the curve has at e real ones is worth (e - n) / m real pictures a synthetic
one.

The AUROCs of all arms vary together: with the seeds, which arms share, and with the test patients, who are the same for
all. Both are drawn anew jointly, as Student's t with the variance that `cxr.study.statistics` has for any difference of
two arms, so that what all arms have in common leaves the reading alone. With each draw the curve is fitted and the arm
read off again; the interval holds the middle 95 % of what is read. It is the set of numbers of pictures at which arm
and curve may be equal (as in Fieller 1954, J. R. Stat. Soc. B 16, 175), so it may have no end where the curve is flat.

How often it holds the truth is simulated in `tests/unit/study/test_worth.py`; docs/statistics.md has the rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr.study.config import Arm, StudyConfig
from cxr.study.influence import MetricWithInfluence
from cxr.study.learning_curve import FORMS, Form, choose_form
from cxr.study.learning_results import LearningCurve, Worth
from cxr.study.results import MAIN, TestSet, Trial
from cxr.study.statistics import estimate, unseen_variance
from cxr.study.summary import measure_trial

LEAST_SIZES = 4  # of a curve: one more than its form has parameters
DRAWS = 4000
GRID = 40  # points of the band

Measured = dict[int, MetricWithInfluence]  # AUROC by seed


@dataclass(frozen=True)
class Mix:
    """An arm with synthetic pictures."""

    arm: str
    real: int
    synthetic: int
    aurocs: Measured


def read_worth(
    config: StudyConfig, trials: Sequence[Trial], test: TestSet, rng: np.random.Generator
) -> LearningCurve | None:
    """The learning curve of a study whose real-only arms have four sizes or more, and what is read off it; else None.

    With a budget of epochs there is none: more pictures are more steps then, and copies would be worth something.
    """
    arms, curve = find_curve(config, trials)
    if config.budget != "steps" or len(curve) < LEAST_SIZES:
        return None
    measured, counts = measure_auroc(trials, test), {trial.arm: (trial.real, trial.synthetic) for trial in trials}
    mixes = [Mix(arm.name, *counts[arm.name], measured[arm.name]) for arm in arms if arm.synthetic]
    return learn({size: measured[curve[size]] for size in sorted(curve)}, mixes, rng)


def find_curve(config: StudyConfig, trials: Sequence[Trial]) -> tuple[list[Arm], dict[int, str]]:
    """The arms that have trials and take the whole budget, and of those without synthetic pictures each by its size."""
    counts = {trial.arm: trial.real for trial in trials}
    arms = [arm for arm in config.arms if arm.name in counts and arm.repeat == 1 and arm.steps == 100]
    return arms, {counts[arm.name]: arm.name for arm in arms if not arm.synthetic}


def explain_no_worth(config: StudyConfig, trials: Sequence[Trial]) -> list[str]:
    """A line on why a study that was made for a learning curve has none."""
    if not any(arm.redraw for arm in config.arms):
        return []
    sizes = len(find_curve(config, trials)[1])
    return [describe_no_worth(sizes if sizes < LEAST_SIZES else None)]


def foresee_no_worth(config: StudyConfig) -> list[str]:
    """The same before any trial: of arms alone."""
    arms = [arm for arm in config.arms if not arm.synthetic and arm.repeat == 1 and arm.steps == 100]
    sizes = len({arm.real for arm in arms})
    return [describe_no_worth(sizes)] if any(arm.redraw for arm in config.arms) and sizes < LEAST_SIZES else []


def describe_no_worth(sizes: int | None) -> str:
    """Args:
    sizes: how many, where they are too few.
    """
    why = "its arms share no seed, or not the steps" if sizes is None else f"this study has {sizes}"
    return (
        f"What a synthetic picture is worth is not told: that takes {LEAST_SIZES} sizes of real pictures alone, in "
        f"equal steps and with the same seeds; {why}."
    )


def measure_auroc(trials: Sequence[Trial], test: TestSet) -> dict[str, Measured]:
    """By arm."""
    found: dict[str, Measured] = {trial.arm: {} for trial in trials}
    for trial in trials:
        found[trial.arm][trial.seed] = measure_trial(trial, test)[MAIN]
    return found


def learn(
    curve: dict[int, Measured], mixes: Sequence[Mix], rng: np.random.Generator, draws: int = DRAWS
) -> LearningCurve | None:
    """The curve and what is read off it; None where its arms share no seed.

    Args:
        curve: AUROCs by number of real pictures, ascending.
    """
    sizes, arms = np.array(list(curve)), list(curve.values())
    if not (seeds := shared_seeds(arms)):
        return None
    heights, noise = means(arms, seeds), draw_noise(arms, seeds, draws, rng)
    form, p = choose_form(sizes, heights, noise)
    fitted, drawn = FORMS[form].fit(sizes, heights[None]), FORMS[form].fit(sizes, heights + noise)
    grid = np.geomspace(*fitted.reach, GRID)
    low, high = np.quantile(drawn.at(grid), [0.025, 0.975], axis=0)
    rise = rise_of(arms[0], arms[-1], seeds)
    found = [read_arm(mix, curve, form, rng, draws) for mix in mixes if rise[1] > 0]
    return LearningCurve(
        form, p, sizes.tolist(), heights.tolist(), list(rise), list(fitted.reach),
        np.stack([grid, fitted.at(grid)[0], low, high], axis=1).tolist(), [one for one in found if one],
    )  # fmt: skip


def read_arm(mix: Mix, curve: dict[int, Measured], form: Form, rng: np.random.Generator, draws: int) -> Worth | None:
    """None where the arm shares no seed with the curve."""
    sizes, arms = np.array(list(curve)), [*curve.values(), mix.aurocs]
    if not (seeds := shared_seeds(arms)):
        return None
    found, fit = means(arms, seeds), FORMS[form].fit
    drawn = found + draw_noise(arms, seeds, draws, rng)
    (equivalent,) = fit(sizes, found[None, :-1]).read(found[-1:])
    low, high = np.quantile(fit(sizes, drawn[:, :-1]).read(drawn[:, -1]), [0.025, 0.975])
    equivalents = [float(one) for one in (equivalent, low, high)]
    worth = [(one - mix.real) / mix.synthetic for one in equivalents]
    return Worth(mix.arm, mix.real, mix.synthetic, float(found[-1]), *equivalents, *worth)


def shared_seeds(arms: Sequence[Measured]) -> list[int]:
    return [seed for seed in arms[0] if all(seed in arm for arm in arms)]


def means(arms: Sequence[Measured], seeds: Sequence[int]) -> np.ndarray:
    """AUROC [A] over seeds."""
    return np.array([np.mean([arm[seed].value for seed in seeds]) for arm in arms])


def rise_of(first: Measured, last: Measured, seeds: Sequence[int]) -> tuple[float, float, float]:
    """How much higher the last is, paired by seed, with its 95 % interval."""

    def over_seeds(arm: Measured, name: str) -> np.ndarray:
        return np.array([getattr(arm[seed], name) for seed in seeds])

    unseen = [
        unseen_variance(*(float(over_seeds(arm, name).mean()) for name in ("value", "patients")))
        for arm in (first, last)
    ]
    values, components = (over_seeds(last, name) - over_seeds(first, name) for name in ("value", "components"))
    found = estimate(values, components, sum(unseen))
    low, high = found.interval()
    return found.mean, low, high


def draw_noise(arms: Sequence[Measured], seeds: Sequence[int], draws: int, rng: np.random.Generator) -> np.ndarray:
    """How the AUROCs of arms may be off together, [B, A]: that of a difference of two has the variance of
    `statistics.estimate`. With one seed it is that of the patients alone."""
    values = np.array([[arm[seed].value for seed in seeds] for arm in arms])  # [A, S]
    components = np.array([[arm[seed].components for seed in seeds] for arm in arms])  # [A, S, P]
    count, patients = len(seeds), components.shape[2]
    together = components.mean(axis=1)
    covariance = together @ together.T
    noise = np.zeros((draws, len(arms)))
    if count > 1:
        same = np.einsum("asp,bsp->ab", components, components) / count**2
        covariance = (covariance - same) * count / (count - 1)  # of two different seeds
        away = (values - values.mean(axis=1, keepdims=True)) / np.sqrt(count * (count - 1))
        noise += rng.normal(size=(draws, count)) @ away.T / student(count - 1, draws, rng)
    spread, axes = np.linalg.eigh(covariance)
    drawn = rng.normal(size=(draws, len(arms))) * np.sqrt(np.maximum(spread, 0.0))
    return noise + drawn @ axes.T / student(patients - 1, draws, rng)


def student(degrees: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """[B, 1]: normal numbers over it are Student's t."""
    return np.sqrt(rng.chisquare(degrees, (draws, 1)) / degrees)
