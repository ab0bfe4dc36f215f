"""Do synthetic pictures show what was asked? Named by a classifier of real pictures that the caller brings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from cxr.evaluate.rates import Rate, rate
from cxr.evaluate.sets import ImageSet

Labelled = tuple[np.ndarray, np.ndarray]
PredictClasses = Callable[[np.ndarray], np.ndarray]  # of uint8 [N, H, W] the numbers of findings, int [N]


@dataclass(frozen=True)
class Confusion:
    """counts[i][j]: pictures of the i-th of these findings that the classifier names the j-th of its own."""

    counts: list[list[int]]
    accuracy: Annotated[Rate, Field(serialization_alias="agree")]  # over all rows
    findings: dict[str, Rate]  # accuracy of each

    @property
    def worst(self) -> str:
        """The finding that is seen least surely: with the lowest lower bound."""
        return min(self.findings, key=lambda name: self.findings[name].low)


@dataclass(frozen=True)
class PromptAccuracies:
    findings: tuple[str, ...]  # that the classifier knows: columns
    synthetic: Confusion  # rows: asked
    real: Confusion  # rows: true, of the test part; what the classifier can do at best


@dataclass(frozen=True)
class LabelClassifier:
    """A classifier of the real set."""

    findings: tuple[str, ...]
    predict_classes: PredictClasses
    real: Confusion  # rows: the findings that are compared


def train_label_classifier(
    real: ImageSet, findings: Sequence[str], learn: Callable[[Labelled, Labelled], PredictClasses]
) -> LabelClassifier | None:
    """A classifier of every finding of the real set, and what it sees in real pictures that it was not trained on.

    Were it trained on the compared findings only, it could see no other in a synthetic picture.

    Args:
        findings: that are compared.
        learn: the train and the validation part to what names pictures; a part is uint8 [N, H, W] and class numbers.

    Returns:
        None where a part of the real set lacks one of `findings`, or where all parts share one finding only.
    """
    rows = [real.part(name) for name in ("train", "validation", "test")]
    known = sorted(set.intersection(*(set(real.findings[part].tolist()) for part in rows)))
    if len(known) < 2 or not set(findings) <= set(known):
        return None
    train, validation, test = (part[np.isin(real.findings[part], known)] for part in rows)
    predict_classes = learn(
        *((real.read(part), np.searchsorted(known, real.findings[part])) for part in (train, validation))
    )
    test = test[np.isin(real.findings[test], findings)]
    predicted = predict_classes(real.read(test))
    return LabelClassifier(
        tuple(known), predict_classes, confusion(findings, known, real.findings[test], predicted, real.patients[test])
    )


def measure_prompt_accuracy(
    classifier: LabelClassifier, findings: np.ndarray, predicted: np.ndarray
) -> PromptAccuracies:
    """Do synthetic pictures show what was asked?

    Args:
        findings: that were asked, str [M]; pictures of others than are compared are left out.
        predicted: as the classifier names them, int [M].
    """
    return PromptAccuracies(
        classifier.findings,
        confusion(tuple(classifier.real.findings), classifier.findings, findings, predicted),
        classifier.real,
    )


def confusion(
    asked: Sequence[str],
    known: Sequence[str],
    findings: np.ndarray,
    predicted: np.ndarray,
    patients: np.ndarray | None = None,
) -> Confusion:
    """Of pictures that should show `findings`, str [N], and that the classifier names `known[predicted]`, int [N].

    Args:
        asked: each of them is among `findings`; pictures of others are left out.
        patients: str [N], whose real pictures they are; None of generated ones.
    """
    rows = {finding: np.flatnonzero(findings == finding) for finding in asked}
    counts = [np.bincount(predicted[places], minlength=len(known)).tolist() for places in rows.values()]
    hits = {finding: predicted[places] == known.index(finding) for finding, places in rows.items()}
    whose = {finding: None if patients is None else patients[places] for finding, places in rows.items()}
    every = None if patients is None else np.concatenate([*whose.values()])
    rates = {finding: rate(hit, whose[finding]) for finding, hit in hits.items()}
    return Confusion(counts, rate(np.concatenate([*hits.values()]), every), rates)
