"""From trials to all that a study finds of its arms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, roc_curve

from cxr.classify.metrics import averaged_classes, resample_auroc
from cxr.classify.operating_point import OperatingPoint, Predictions
from cxr.errors import BadInput
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.differences import Measurements, compare_arms, spread_of
from cxr.study.influence import MetricWithInfluence, against_others, measure
from cxr.study.results import ArmResult, ClassMetrics, Spread, TestSet, Trial
from cxr.study.several import measure_findings, measured_findings
from cxr.study.statistics import estimate
from cxr.study.subgroups import GroupResult, measure_subgroups
from cxr.study.tested import check_test

RATES = np.linspace(0, 1, 101)  # false positive rates of the mean ROC curve
NOTHING: dict[str, Any] = {"classes": [], "confusion": [], "roc": [], "selection_bias": None}
FILTER_LABELS = {
    "off": " as made", "drop": " less the refused", "random_drop": " less as many at random as are refused",
}  # fmt: skip
CLASS_METRICS = ("auroc", "sensitivity", "specificity", "precision", "f1")  # of a class


def summarise(
    config: StudyConfig,
    trials: Sequence[Trial],
    failed: Sequence[tuple[str, int]],
    test: TestSet,
    classes: Sequence[str],
    rng: np.random.Generator,
) -> list[ArmResult]:
    """All arms in the order of the configuration; one of which no trial ended well has no metrics.

    Args:
        failed: arm and seed of each trial that did not end well.
        classes: names of the class numbers; of two, the last is the positive one.

    Raises:
        BadInput: every trial of the baseline failed, or the test part does not tell the classes apart.
    """
    check_test(test, classes)
    by_arm = {arm.name: [trial for trial in trials if trial.arm == arm.name] for arm in config.arms}
    if not by_arm[BASELINE]:
        raise BadInput(f"arm {BASELINE}: every trial failed, and the others are compared with it; try it again")
    ended = {name: ran for name, ran in by_arm.items() if ran}
    measurements = measure_trials(ended, test, config.resamples, rng)
    differences = compare_arms(config.arms, config.primary, measurements, config.margin)
    groups = {} if test.findings else measure_subgroups(
        {arm: (found.seeds, [*map(read_scores, ended[arm])], found.generators) for arm, found in measurements.items()},
        test, len(classes), config.subgroups.split(","),
    )  # fmt: skip
    results = []
    for arm in config.arms:
        lost = [seed for name, seed in failed if name == arm.name]
        metrics, of_seeds = {}, {}
        if one := measurements.get(arm.name):
            names = one.metrics[0]
            metrics = {name: spread_of([seed[name] for seed in one.metrics], one.generators) for name in names}
            of_seeds = {
                seed: {metric: measured.value for metric, measured in trial.items()}
                for seed, trial in zip(one.seeds, one.metrics, strict=True)
            }
        shown = inspect_scores(by_arm[arm.name], test, classes) if metrics else NOTHING
        about = describe_arm(arm, by_arm[arm.name])
        own = groups.get(arm.name, GroupResult([], []))
        results.append(
            ArmResult(
                **about,
                failed=lost,
                metrics=metrics,
                of_seeds=of_seeds,
                differences=differences[arm.name],
                subgroups=own.subgroups,
                gaps=own.gaps,
                **shown,
            )
        )
    return results


def measure_trials(
    trials: dict[str, list[Trial]], test: TestSet, resamples: int, rng: np.random.Generator
) -> dict[str, Measurements]:
    """Every metric of every trial, and its AUROC with the same resampled patients."""
    labels, patients = np.array(test.labels), number_patients(test.patients)
    scores = [np.array(trial.scores) for ran in trials.values() for trial in ran]
    if test.findings:
        measured = measured_findings(labels, patients)
        labels, scores = labels[:, measured], [one[:, measured] for one in scores]
    draws = iter(resample_auroc(scores, labels, patients, resamples, rng))
    return {
        name: Measurements(
            [trial.seed for trial in ran],
            [measure_trial(trial, test) for trial in ran],
            np.array([next(draws) for _ in ran]),
            tuple(trial.generator for trial in ran),
        )
        for name, ran in trials.items()
    }


def measure_trial(trial: Trial, test: TestSet) -> dict[str, MetricWithInfluence]:
    labels, patients = np.array(test.labels), number_patients(test.patients)
    if test.findings:
        return measure_findings(np.array(trial.scores), labels, patients, test.findings)
    return measure(read_scores(trial), labels, patients)


def read_scores(trial: Trial) -> Predictions:
    """Of the test pictures, at the trial's own operating point."""
    return OperatingPoint(trial.temperature, trial.threshold).read(np.array(trial.scores))


def inspect_scores(trials: Sequence[Trial], test: TestSet, classes: Sequence[str]) -> dict[str, Any]:
    """What is found by looking closer than at an arm's metrics, by the fields of `ArmResult`."""
    if test.findings:
        return NOTHING | {"roc": mean_finding_roc(trials, test), "selection_bias": selection_bias(trials)}
    predictions = [read_scores(trial) for trial in trials]
    return {
        "classes": measure_classes(predictions, test, classes, [trial.generator for trial in trials]),
        "confusion": confusion(predictions, test, len(classes)),
        "roc": mean_roc(predictions, test),
        "selection_bias": selection_bias(trials),
    }


def describe_arm(arm: Arm, trials: Sequence[Trial]) -> dict[str, Any]:
    """What was trained, by the fields of `ArmResult`."""
    return {
        "arm": arm.name,
        "label": arm_label(arm),
        "control": arm.control,
        "real": trials[0].real if trials else 0,
        "synthetic": trials[0].synthetic if trials else 0,
        "seeds": [trial.seed for trial in trials],
        "curves": {trial.seed: trial.curve for trial in trials},
        "best": {trial.seed: trial.best for trial in trials},
        "hours": sum(trial.seconds for trial in trials) / 3600,
        "device": ", ".join(sorted({trial.device for trial in trials})),
    }


def arm_label(arm: Arm) -> str:
    """In words: "100 % real + 25 % synthetic"."""
    times = "" if arm.repeat == 1 else f", {arm.repeat} times"
    parts = [f"{arm.real:g} % real{times}"] if arm.real else []
    drawn = FILTER_LABELS.get(arm.filter or "", "") + (" with shuffled labels" if arm.shuffled else "")
    parts += [f"{arm.synthetic:g} % synthetic{drawn}"] * (arm.synthetic > 0)
    mix = ", then ".join(reversed(parts)) if arm.order == "synthetic_first" else " + ".join(parts)
    return mix if arm.steps == 100 else f"{mix}, {arm.steps:.3g} % of the steps"


def measure_classes(
    predictions: Sequence[Predictions], test: TestSet, classes: Sequence[str], generators: Sequence[int]
) -> list[ClassMetrics]:
    labels, patients, found = np.array(test.labels), number_patients(test.patients), []
    for number, name in enumerate(classes):
        seeds = [against_others(one, labels, patients, number) for one in predictions]
        spreads = {metric: spread_of([seed[metric] for seed in seeds], generators) for metric in CLASS_METRICS}
        found.append(ClassMetrics(name, int((labels == number).sum()), **spreads))
    return found


def confusion(predictions: Sequence[Predictions], test: TestSet, classes: int) -> list[list[int]]:
    """Pictures [shown][named], all seeds together."""
    counts = (confusion_matrix(test.labels, one.named, labels=range(classes)) for one in predictions)
    return np.sum(list(counts), axis=0).tolist()


def mean_roc(predictions: Sequence[Predictions], test: TestSet) -> list[list[float]]:
    """[false positive rate, true positive rate], averaged over seeds, and over classes where there are more than two,
    at each of `RATES` (vertical averaging: Fawcett 2006, Pattern Recognit. Lett. 27, 861)."""
    labels, curves = np.array(test.labels), []
    for scores in (one.scores for one in predictions):
        for number in averaged_classes(scores.shape[1]):
            curves.append(np.interp(RATES, *roc_curve(labels == number, scores[:, number])[:2]))
    return mean_curve(curves)


def mean_finding_roc(trials: Sequence[Trial], test: TestSet) -> list[list[float]]:
    """The same, averaged over seeds and findings."""
    labels, curves = np.array(test.labels), []
    for scores in (np.array(trial.scores) for trial in trials):
        for number in measured_findings(labels, np.array(test.patients)):
            known = ~np.isnan(labels[:, number])
            curves.append(np.interp(RATES, *roc_curve(labels[known, number], scores[known, number])[:2]))
    return mean_curve(curves)


def mean_curve(curves: Sequence[np.ndarray]) -> list[list[float]]:
    """[rate, height], from 0, of curves at `RATES`."""
    heights = np.mean(curves, axis=0)
    heights[0] = 0.0
    return np.stack([RATES, heights], axis=1).tolist()


def selection_bias(trials: Sequence[Trial]) -> Spread | None:
    """What the best epoch on the test part has above the chosen one; its interval is over seeds alone."""
    gains = []
    for trial in trials:
        tested = [point.test_auroc for point in trial.curve if point.test_auroc is not None]
        if len(tested) < len(trial.curve):
            return None
        gains.append(max(tested) - tested[trial.best])
    found = estimate(np.array(gains), np.zeros((len(gains), 1)))
    if not found.error:
        return Spread(found.mean, found.sd, None, None)
    low, high = found.interval()
    return Spread(found.mean, found.sd, max(0.0, low), min(1.0, high))


def number_patients(patients: Sequence[str] | np.ndarray) -> np.ndarray:
    """int [N], from 0 to P - 1."""
    return np.unique(patients, return_inverse=True)[1]
