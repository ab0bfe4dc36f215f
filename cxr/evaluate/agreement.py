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


def agree(
    real: Pictures,
    synthetic: Pictures,
    findings: Sequence[str],
    learn: Callable[[Labelled, Labelled], Callable[[np.ndarray], np.ndarray]],
) -> Agreement | None:
    """What a classifier of the real set sees in synthetic pictures and in real ones that it was not trained on.

    Args:
        findings: sorted; pictures of others are left out.
        learn: the train and the validation part to what names pictures; a part is uint8 [N, H, W] and class numbers.

    Returns:
        None where a part of the real set lacks a finding.
    """
    parts = [labelled(real, findings, real.part(name)) for name in ("train", "validation", "test")]
    if any(len(set(labels.tolist())) < len(findings) for _, labels in parts):
        return None
    name, asked = learn(*parts[:2]), labelled(synthetic, findings, np.arange(len(synthetic.ids)))
    seen = (confusion(findings, labels, name(pixels)) for pixels, labels in (asked, parts[2]))
    return Agreement(tuple(findings), *seen)


def labelled(side: Pictures, findings: Sequence[str], rows: np.ndarray) -> Labelled:
    rows = rows[np.isin(side.findings[rows], findings)]
    return side.pixels[rows], np.searchsorted(findings, side.findings[rows])


def confusion(findings: Sequence[str], labels: np.ndarray, named: np.ndarray) -> Confusion:
    """Of class numbers int [N], as they should be and as the classifier names them; every class is among `labels`."""
    counts = np.zeros((len(findings), len(findings)), int)
    np.add.at(counts, (labels, named), 1)
    hits = labels == named
    rates = {finding: rate(hits[labels == number]) for number, finding in enumerate(findings)}
    return Confusion(counts.tolist(), rate(hits), rates)
