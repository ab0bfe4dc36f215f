"""Do synthetic pictures show what was asked? Seen by a classifier of real pictures that the caller brings.

It learns the findings of the real set, or attributes such as view and sex. Of each the AUROC says how well it tells the
pictures that were asked to show it from those that were not, whatever the threshold; the same of real test pictures is
what it can do at best. Rates are at a threshold that validation pictures choose (Youden 1950, Cancer 3, 32),
and where findings exclude each other it names the most probable one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from cxr.classify.metrics import draw_patients, weighted_auroc
from cxr.evaluate.rates import Rate, rate
from cxr.evaluate.sets import ImageSet, Labelling
from cxr.report.proportions import clopper_pearson

Labelled = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, W] and labels float32 [N, F]: 1, 0, not a number: left out
Predict = Callable[[np.ndarray], np.ndarray]  # of uint8 [N, H, W] the probabilities of each finding, float32 [N, F]

RESAMPLES = 400  # of pictures, or of patients, that an AUROC's interval is measured from
COUNTS_AT_ONCE = 20_000_000  # numbers of a block of draws


@dataclass(frozen=True)
class Auroc:
    """With its 95 % interval."""

    value: float
    low: float
    high: float
    present: int  # pictures
    absent: int


@dataclass(frozen=True)
class SeenFindings:
    """What the classifier sees in pictures of one set."""

    # counts[i][j]: pictures of the i-th compared finding that it names the j-th of its own; empty unless findings
    # exclude each other
    counts: list[list[int]]
    accuracy: Annotated[Rate, Field(serialization_alias="agree")]  # of all that should be seen
    findings: dict[str, Rate]  # seen in pictures that should show it
    absent: dict[str, Rate]  # seen in pictures that should not
    aurocs: dict[str, Auroc]  # of those that some pictures should show and some should not

    @property
    def worst(self) -> str:
        """The finding that is seen least surely: with the lowest lower bound."""
        return min(self.findings, key=lambda name: self.findings[name].low)


@dataclass(frozen=True)
class PromptAccuracies:
    findings: tuple[str, ...]  # that the classifier knows: columns
    synthetic: SeenFindings  # what was asked
    real: SeenFindings  # what is true, of the test part; what the classifier can do at best


@dataclass(frozen=True)
class LabelClassifier:
    """A classifier of the real set."""

    findings: tuple[str, ...]
    thresholds: tuple[float, ...] | None  # from which each is seen; None: the most probable one alone is
    predict: Predict
    compared: tuple[str, ...]  # those that are asked for
    real: SeenFindings


@dataclass(frozen=True)
class Classifiers:
    """Of the real set's findings and of its attributes; None where it cannot be had."""

    findings: LabelClassifier | None
    attributes: LabelClassifier | None

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Of uint8 [N, H, W] the probabilities of all that both know, float32 [N, K]."""
        found = [known.predict(pixels) for known in (self.findings, self.attributes) if known]
        return np.concatenate([np.empty((len(pixels), 0), np.float32), *found], axis=1)

    def split(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The probabilities of findings and those of attributes."""
        first = len(self.findings.findings) if self.findings else 0
        return predicted[:, :first], predicted[:, first:]


def train_label_classifier(
    real: ImageSet,
    labels: Labelling,
    exclusive: bool,
    compared: Sequence[str],
    learn: Callable[[Labelled, Labelled], Predict],
    rng: np.random.Generator,
) -> LabelClassifier | None:
    """A classifier of every finding of the real set, and what it sees in real pictures that it was not trained on.

    Were it trained on the compared findings only, it could see no other in a synthetic picture.

    Args:
        labels: of the real set's pictures.
        exclusive: each picture shows exactly one of them.
        learn: the train and the validation part to what gives probabilities.
        rng: of intervals.

    Returns:
        None where a part of the real set lacks one of `compared`, or where all parts share one finding only; of
        findings that do not exclude each other, where none is present and absent in every part.
    """
    known = known_findings(real, labels, exclusive, "train", "validation", "test")
    asked = tuple(name for name in compared if name in known)
    if not asked or (exclusive and (len(known) < 2 or len(asked) < len(compared))):
        return None
    fitted = fit_classifier(real, labels, known, exclusive, learn)
    values = labels.columns(known)
    test = usable_rows(real, values, exclusive, "test")
    predicted = fitted.predict(real.read(test))
    seen = see(fitted.findings, fitted.thresholds, asked, values[test], predicted, rng, real.patients[test])
    return LabelClassifier(fitted.findings, fitted.thresholds, fitted.predict, asked, seen)


@dataclass(frozen=True)
class FittedClassifier:
    """A classifier of the real set that nobody has tested."""

    findings: tuple[str, ...]
    thresholds: tuple[float, ...] | None  # from which each is seen; None: the most probable one alone is
    predict: Predict


def known_findings(real: ImageSet, labels: Labelling, exclusive: bool, *parts: str) -> list[str]:
    """Those that pictures of each of these parts show, and others do not."""
    rows = [real.part(name) for name in parts]
    return [name for name in labels.names if all(is_shown(labels, name, part, exclusive) for part in rows)]


def fit_classifier(
    real: ImageSet,
    labels: Labelling,
    known: Sequence[str],
    exclusive: bool,
    learn: Callable[[Labelled, Labelled], Predict],
) -> FittedClassifier:
    """Of these findings; learns from the train part, and chooses by the validation part. No other is looked at."""
    values = labels.columns(known)
    train, validation = (usable_rows(real, values, exclusive, name) for name in ("train", "validation"))
    predict = learn(*((real.read(part), values[part]) for part in (train, validation)))
    thresholds = None if exclusive else choose_thresholds(predict(real.read(validation)), values[validation])
    return FittedClassifier(tuple(known), thresholds, predict)


def usable_rows(real: ImageSet, values: np.ndarray, exclusive: bool, part: str) -> np.ndarray:
    """Rows of a part, int, whose labels [N, F] say something."""
    usable = (values == 1).any(axis=1) if exclusive else ~np.isnan(values).all(axis=1)
    rows = real.part(part)
    return rows[usable[rows]]


def is_shown(labels: Labelling, name: str, part: np.ndarray, exclusive: bool) -> bool:
    """Whether pictures of a part, int [P], show it, and others do not."""
    values = labels.columns([name])[part]
    return bool((values == 1).any() and (exclusive or (values == 0).any()))


def measure_prompt_accuracy(
    classifier: LabelClassifier, labels: Labelling, predicted: np.ndarray, rng: np.random.Generator
) -> PromptAccuracies | None:
    """Do synthetic pictures show what was asked?

    Args:
        labels: what was asked of them.
        predicted: by the classifier, float32 [M, F].

    Returns:
        None where nothing that the classifier is asked about was asked for.
    """
    asked = tuple(name for name in classifier.compared if labels.shows(name).any())
    if not asked:
        return None
    values = labels.columns(classifier.findings)
    seen = see(classifier.findings, classifier.thresholds, asked, values, predicted, rng)
    return PromptAccuracies(classifier.findings, seen, classifier.real)


def choose_thresholds(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """For each finding of [N, F], that of the largest sensitivity plus specificity."""
    from sklearn.metrics import roc_curve

    found = []
    for scores, values in zip(predicted.T, labels.T, strict=True):
        known = ~np.isnan(values)
        alarms, hits, thresholds = roc_curve(values[known], scores[known])
        found.append(float(thresholds[np.argmax(hits - alarms)]))
    return tuple(found)


def see(
    known: Sequence[str],
    thresholds: Sequence[float] | None,
    asked: Sequence[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    rng: np.random.Generator,
    patients: np.ndarray | None = None,
) -> SeenFindings:
    """What a classifier sees.

    Args:
        known: what the columns of the labels [N, F] and the probabilities [N, F] are of.
        asked: some of them, each present in a picture at least.
        patients: str [N], whose real pictures they are; None of generated ones.
    """
    best = predicted.argmax(axis=1)
    seen = best[:, None] == np.arange(len(known)) if thresholds is None else predicted >= np.array(thresholds)
    owners = np.arange(len(labels)) if patients is None else patients
    present, absent, aurocs, counts, hits, whose = {}, {}, {}, [], [], []
    for name in asked:
        column = list(known).index(name)
        shown, without = (np.flatnonzero(labels[:, column] == value) for value in (1, 0))
        present[name] = rate(seen[shown, column], None if patients is None else patients[shown])
        hits.append(seen[shown, column])
        whose.append(owners[shown])
        if thresholds is None:
            counts.append(np.bincount(best[shown], minlength=len(known)).tolist())
        if len(without):
            absent[name] = rate(seen[without, column], None if patients is None else patients[without])
            aurocs[name] = measure_auroc(predicted[:, column], labels[:, column], owners, rng)
    one_each = patients is None and sum(map(len, hits)) == len(np.unique(np.concatenate(whose)))
    every = rate(np.concatenate(hits), None if one_each else np.concatenate(whose))
    return SeenFindings(counts, every, present, absent, aurocs)


def measure_auroc(scores: np.ndarray, labels: np.ndarray, owners: np.ndarray, rng: np.random.Generator) -> Auroc:
    """Of scores [N] and labels [N], of which some are 1 and some 0. The interval is a bootstrap over owners [N], the
    patients of real pictures; where no draw differs, as where all pairs are in order, it is that of a share among as
    many as the smaller side has owners."""
    known = ~np.isnan(labels)
    scores, shown = scores[known], labels[known] == 1
    numbers = np.unique(owners[known], return_inverse=True)[1]
    value, draws = float(weighted_auroc(scores, shown, np.ones((1, len(scores)), np.float32))[0]), []
    block = max(1, COUNTS_AT_ONCE // len(scores))
    for start in range(0, RESAMPLES, block):
        counts = draw_patients(numbers, min(block, RESAMPLES - start), rng)
        draws.append(weighted_auroc(scores, shown, counts))
    low, high = np.nanquantile(np.concatenate(draws), [0.025, 0.975]).tolist()
    if low == high:
        low, high = clopper_pearson(value, min(len(np.unique(numbers[side])) for side in (shown, ~shown)))
    return Auroc(value, low, high, int(shown.sum()), int((~shown).sum()))
