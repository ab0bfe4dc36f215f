"""Do synthetic pictures show what was asked? Named by a classifier of real pictures that the caller brings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.evaluate.rates import Rate, rate
from cxr.evaluate.sets import Pictures

Labelled = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Confusion:
    """counts[i][j]: pictures of the i-th of these findings that the classifier names the j-th of its own."""

    counts: list[list[int]]
    agree: Rate
    findings: dict[str, Rate]

    @property
    def worst(self) -> str:
        """The finding that is seen least surely: with the lowest lower bound."""
        return min(self.findings, key=lambda name: self.findings[name].low)


@dataclass(frozen=True)
class Agreement:
    findings: tuple[str, ...]  # that the classifier knows: columns
    synthetic: Confusion  # rows: asked
    real: Confusion  # rows: true, of the test part; what the classifier can do at best


@dataclass(frozen=True)
class Namer:
    """A classifier of the real set."""

    findings: tuple[str, ...]
    name: Callable[[np.ndarray], np.ndarray]  # of uint8 [N, H, W] the numbers of findings, int [N]
    real: Confusion  # rows: the findings that are compared


def learned(
    real: Pictures, findings: Sequence[str], learn: Callable[[Labelled, Labelled], Callable[[np.ndarray], np.ndarray]]
) -> Namer | None:
    """A classifier of every finding of the real set, and what it sees in real pictures that it was not trained on.

    Were it told of the compared findings only, it could see no other in a synthetic picture.

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
    name = learn(*((real.read(part), np.searchsorted(known, real.findings[part])) for part in (train, validation)))
    test = test[np.isin(real.findings[test], findings)]
    named = name(real.read(test))
    return Namer(tuple(known), name, confusion(findings, known, real.findings[test], named, real.patients[test]))


def agree(namer: Namer, findings: np.ndarray, named: np.ndarray) -> Agreement:
    """Do synthetic pictures show what was asked?

    Args:
        findings: that were asked, str [M]; pictures of others than are compared are left out.
        named: as the classifier names them, int [M].
    """
    return Agreement(namer.findings, confusion(tuple(namer.real.findings), namer.findings, findings, named), namer.real)


def confusion(
    asked: Sequence[str],
    known: Sequence[str],
    findings: np.ndarray,
    named: np.ndarray,
    patients: np.ndarray | None = None,
) -> Confusion:
    """Of pictures that should show `findings`, str [N], and that the classifier names `known[named]`, int [N].

    Args:
        asked: each of them is among `findings`; pictures of others are left out.
        patients: str [N], whose real pictures they are; None of generated ones.
    """
    rows = {finding: np.flatnonzero(findings == finding) for finding in asked}
    counts = [np.bincount(named[places], minlength=len(known)).tolist() for places in rows.values()]
    hits = {finding: named[places] == known.index(finding) for finding, places in rows.items()}
    whose = {finding: None if patients is None else patients[places] for finding, places in rows.items()}
    every = None if patients is None else np.concatenate([*whose.values()])
    rates = {finding: rate(hit, whose[finding]) for finding, hit in hits.items()}
    return Confusion(counts, rate(np.concatenate([*hits.values()]), every), rates)
