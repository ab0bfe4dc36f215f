"""Does the embedded model follow its text? Pictures from rephrased prompts, named by a classifier of phantoms."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.prompts.findings import FINDINGS
from cxr.prompts.phrases import REPHRASED
from cxr.prompts.templates import template_prompts
from cxr.report.pages import markdown_table


@dataclass(frozen=True)
class PromptAccuracy:
    """counts[i, j]: pictures asked to show finding i that the classifier names finding j, int [10, 10]."""

    counts: np.ndarray
    ceiling: float  # share of fresh phantoms that the same classifier names rightly

    @property
    def share(self) -> float:
        return float(np.trace(self.counts) / self.counts.sum())


def class_numbers(findings: Iterable[str]) -> np.ndarray:
    return np.array([FINDINGS.index(finding) for finding in findings])


def measure(
    sample: Callable[[Sequence[str], Sequence[int]], np.ndarray],
    name: Callable[[np.ndarray], np.ndarray],
    fresh: tuple[np.ndarray, np.ndarray],
    per_finding: int,
    seed: int,
) -> PromptAccuracy:
    """Asks for every finding in sentences that no training prompt has.

    Args:
        sample: prompts and seeds to uint8 [N, H, W].
        name: uint8 [N, H, W] to class numbers [N].
        fresh: phantoms that neither model nor classifier saw, uint8 [N, H, W], and their class numbers.
    """
    counts = np.zeros((len(FINDINGS), len(FINDINGS)), int)
    for asked, finding in enumerate(FINDINGS):
        prompts = list(template_prompts(finding, per_finding, seed, REPHRASED))
        seeds = range(asked * per_finding, (asked + 1) * per_finding)
        np.add.at(counts[asked], name(sample(prompts, seeds)), 1)
    return PromptAccuracy(counts, float((name(fresh[0]) == fresh[1]).mean()))


def confusion_table(accuracy: PromptAccuracy) -> str:
    """The confusion table in Markdown: rows asked, columns seen."""
    head = ["asked \\ seen", *(finding.split("_")[0] for finding in FINDINGS)]
    counts = zip(FINDINGS, accuracy.counts.tolist(), strict=True)
    return markdown_table(head, [[finding, *(count or "·" for count in row)] for finding, row in counts])
