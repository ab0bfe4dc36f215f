"""Do synthetic pictures show what was asked? Named by a classifier of real pictures that the caller brings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.evaluate.rates import Rate, rate
from cxr.evaluate.sets import Pictures

Labelled = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Confusion:
    """counts[i][j]: pictures of finding i that the classifier names finding j."""

    counts: list[list[int]]
    agree: Rate
    findings: dict[str, Rate]


@dataclass(frozen=True)
class Agreement:
    findings: tuple[str, ...]
    synthetic: Confusion  # rows: asked
    real: Confusion  # rows: true, of the test part; what the classifier can do at best


@dataclass(frozen=True)
class Namer:
    """A classifier of the real set."""

    findings: tuple[str, ...]
    name: Callable[[np.ndarray], np.ndarray]  # of uint8 [N, H, W] the numbers of findings, int [N]
    real: Confusion


def learned(
    real: Pictures, findings: Sequence[str], learn: Callable[[Labelled, Labelled], Callable[[np.ndarray], np.ndarray]]
) -> Namer | None:
    """A classifier of the real set, and what it sees in real pictures that it was not trained on.

    Args:
        findings: sorted; pictures of others are left out.
        learn: the train and the validation part to what names pictures; a part is uint8 [N, H, W] and class numbers.

    Returns:
        None where a part of the real set lacks a finding.
    """
    rows = [real.part(name) for name in ("train", "validation", "test")]
    rows = [part[np.isin(real.findings[part], findings)] for part in rows]
    if any(len(set(real.findings[part])) < len(findings) for part in rows):
        return None
    parts = [(real.read(part), np.searchsorted(findings, real.findings[part])) for part in rows]
    name, (pixels, labels) = learn(*parts[:2]), parts[2]
    return Namer(tuple(findings), name, confusion(findings, labels, name(pixels)))


def agree(namer: Namer, findings: np.ndarray, named: np.ndarray) -> Agreement:
    """Do synthetic pictures show what was asked?

    Args:
        findings: that were asked, str [M]; pictures of others than the classifier knows are left out.
        named: as the classifier names them, int [M].
    """
    known = np.isin(findings, namer.findings)
    asked = np.searchsorted(namer.findings, findings[known])
    return Agreement(namer.findings, confusion(namer.findings, asked, named[known]), namer.real)


def confusion(findings: Sequence[str], labels: np.ndarray, named: np.ndarray) -> Confusion:
    """Of class numbers int [N], as they should be and as the classifier names them; every class is among `labels`."""
    counts = np.zeros((len(findings), len(findings)), int)
    np.add.at(counts, (labels, named), 1)
    hits = labels == named
    rates = {finding: rate(hits[labels == number]) for number, finding in enumerate(findings)}
    return Confusion(counts.tolist(), rate(hits), rates)
