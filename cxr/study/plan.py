"""A study's plan, made from trials of the baseline before any synthetic picture is trained on: what so many seeds and
test patients could find, and what they cost.

A difference of two arms varies with the seeds, paired, by the sum of both arms' scatter, and with the test patients by
as much as two trainings of the baseline differ on them: V(mean) = 2 sd^2 / S + 2 V (1 - r) P0 / P, with sd the scatter
of the baseline between S seeds, V its variance over the P0 patients at hand, and r how much two trainings agree on
them. So arms are taken to differ in what they see in a patient as two trainings do; arms that differ more see less.

Few seeds know their scatter badly, so the scatter is taken at the upper end of its one-sided 80 % interval: then four
plans of five have the power that they promise (Browne 1995, Stat. Med. 14, 1933).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter
from scipy import stats

from cxr.errors import BadInput
from cxr.report.pages import Table
from cxr.report.words import duration
from cxr.study.config import BASELINE, StudyConfig
from cxr.study.differences import list_pairs, primary_pair
from cxr.study.influence import MetricWithInfluence
from cxr.study.job import StudyJob
from cxr.study.results import MAIN, Trial
from cxr.study.statistics import LEVEL, Estimate
from cxr.study.tested import read_test_set
from cxr.study.worth import measure_auroc

POWER_KEY = "plan.json"
SEEDS, PATIENTS = (3, 5, 8, 12, 20), (1, 2, 4)  # that a plan tries, the latter in times those at hand
SURE = 0.8  # of the scatter's interval
EFFECT = 0.02  # whose power is shown where no margin is named


@dataclass(frozen=True)
class Pilot:
    """What trials of the baseline measured."""

    seeds: list[int]
    aurocs: list[float]
    sd: float  # between seeds
    sd_at_most: float  # upper end of its interval
    patients: int  # of the test part
    patients_sd: float  # of a difference of two trainings, by the patients at hand
    seconds: float  # of a trial
    device: str


@dataclass(frozen=True)
class Choice:
    """A number of seeds and of test patients, and what they bring."""

    seeds: int
    patients: int
    primary: float | None  # smallest difference that is found with 80 % power; None: no arm is the primary one
    others: float | None
    power: float  # to find `Plan.effect`
    hours: float  # of one trial after another


@dataclass(frozen=True)
class Plan:
    """Frozen before the first trial with synthetic pictures."""

    primary: str | None
    against: str | None
    metric: str
    margin: float | None
    effect: float
    arms: list[str]
    pilot: Pilot
    choices: list[Choice]


def read_pilot(aurocs: dict[int, MetricWithInfluence], seconds: Sequence[float], patients: int, device: str) -> Pilot:
    """From the baseline's AUROCs by seed.

    Raises:
        BadInput: fewer than two seeds.
    """
    if len(aurocs) < 2:
        raise BadInput("--plan: fewer than two trials of the baseline ended well, which say nothing of their scatter")
    values = np.array([one.value for one in aurocs.values()])
    components = np.array([one.components for one in aurocs.values()])
    away = components[:, None] - components[None]  # of each two trainings
    count, sd = len(values), float(values.std(ddof=1))
    apart = np.square(away).sum(axis=2).sum() / (count * (count - 1))
    at_most = sd * float(np.sqrt((count - 1) / stats.chi2.ppf(1 - SURE, count - 1)))
    return Pilot(
        list(aurocs), values.tolist(), sd, at_most, patients, float(np.sqrt(apart)), float(np.mean(seconds)), device
    )


def make_plan(config: StudyConfig, pilot: Pilot) -> Plan:
    pair, pairs = primary_pair(config.arms, config.primary), list_pairs(config.arms)
    others = len(pairs) - (pair is not None)
    effect = config.margin or EFFECT
    sizes = [(seeds, times * pilot.patients) for times in PATIENTS for seeds in sorted({*SEEDS, len(config.seeds)})]
    choices = []
    for seeds, patients in sizes:
        found = expected(pilot, seeds, patients)
        choices.append(
            Choice(
                seeds, patients,
                found.detectable(LEVEL) if pair else None,
                found.detectable(LEVEL / others) if others else None,
                found.power(effect, LEVEL if pair else LEVEL / max(1, others)),
                pilot.seconds * seeds * len(config.arms) / 3600,
            )
        )  # fmt: skip
    names = [arm.name for arm in config.arms]
    return Plan(config.primary, pair and pair[1], MAIN, config.margin, effect, names, pilot, choices)


def expected(pilot: Pilot, seeds: int, patients: int) -> Estimate:
    """Of a difference of two arms that are equally good."""
    of_seeds = 2 * pilot.sd_at_most**2 / seeds
    of_patients = pilot.patients_sd**2 * pilot.patients / patients
    variance = of_seeds + of_patients
    share = of_seeds / variance if variance else 1.0
    return Estimate(0.0, None, float(np.sqrt(variance)), share, (seeds - 1, patients - 1))


def freeze_plan(job: StudyJob, trials: Sequence[Trial]) -> Plan:
    """The plan, stored; of an earlier one of the same study, that.

    Args:
        trials: of the baseline.

    Raises:
        BadInput: it was planned with another primary arm or margin, or fewer than two trials ended well.
    """
    if (earlier := read_plan(job)) is None:
        test = read_test_set(job.sets)
        aurocs = measure_auroc(trials, test).get(BASELINE, {})
        device = ", ".join(sorted({trial.device for trial in trials}))
        pilot = read_pilot(aurocs, [trial.seconds for trial in trials], len(set(test.patients)), device)
        job.store.put_if_absent(POWER_KEY, TypeAdapter(Plan).dump_json(make_plan(job.config, pilot), indent=1) + b"\n")
        earlier = read_plan(job)
    assert earlier is not None
    if left := left_plan(earlier, job.config):
        raise BadInput(f"--plan: the plan at {job.store.uri} stays as it is: {left[0]}; plan anew in another --out")
    return earlier


def read_plan(job: StudyJob) -> Plan | None:
    """What was planned for this study; None: nothing."""
    try:
        return TypeAdapter(Plan).validate_json(job.store.get(POWER_KEY))
    except KeyError:
        return None
    except ValueError:
        raise BadInput(f"{job.store.uri}: {POWER_KEY} is damaged; remove it, and plan again") from None


def left_plan(plan: Plan, config: StudyConfig) -> list[str]:
    """Where the analysis is another than was planned, in words."""
    kept = {"primary arm": (config.primary, plan.primary), "margin": (config.margin, plan.margin)}
    return [
        f"{name} {planned or 'none'} was planned, not {now or 'none'}"
        for name, (now, planned) in kept.items()
        if now != planned
    ]


def describe_kept(plan: Plan, config: StudyConfig) -> str:
    """For the methods text: what was planned, and whether the analysis kept to it."""
    left = left_plan(plan, config)
    kept = f"left where {'; '.join(left)}" if left else "the analysis keeps to it"
    return (
        f"made from {len(plan.pilot.seeds)} trials of the baseline, before any with synthetic pictures: primary arm "
        f"{plan.primary or 'none'}, metric AUROC, margin {plan.margin or 'none'}; {kept}"
    )


def plan_table(plan: Plan) -> Table:
    head = ["seeds", "test patients", "primary", "others", f"power for {plan.effect:g}", "hours, one by one"]
    rows = [
        [
            str(one.seeds), f"{one.patients:,}", *(shown(found) for found in (one.primary, one.others)),
            f"{one.power:.0%}", f"{one.hours:.3g}",
        ]
        for one in plan.choices
    ]  # fmt: skip
    return head, rows


def shown(found: float | None) -> str:
    return "-" if found is None else f"{min(found, 1.0):.3f}"


def describe_plan(plan: Plan) -> list[str]:
    """What is frozen, and what the pilot showed."""
    pilot, margin = plan.pilot, "none" if plan.margin is None else f"{plan.margin:g}"
    primary = f"{plan.primary} less {plan.against}" if plan.primary else "none, all comparisons are one family"
    return [
        f"Frozen before the first trial with synthetic pictures: metric AUROC; primary comparison {primary}; margin "
        f"{margin}.",
        f"The baseline with {len(pilot.seeds)} seeds on {pilot.device}: AUROC {np.mean(pilot.aurocs):.3f}, "
        f"{pilot.sd:.4f} between seeds (reckoned with {pilot.sd_at_most:.4f}, as so few seeds may show too little), "
        f"{pilot.patients_sd:.4f} between two trainings by the {pilot.patients:,} test patients, "
        f"{duration(pilot.seconds)} a trial.",
        "Primary, others: the smallest true difference in AUROC that is found with 80 % power. Hours: of all "
        f"{len(plan.arms)} arms, one trial after another; divide by how many run side by side.",
    ]
