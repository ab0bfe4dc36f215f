"""Figures where a picture can show several findings: of each finding by itself, and their mean.

A mean over findings is linear in them, so what a patient adds to it is the mean of what the patient adds to each; so a
patient who shows several counts once. Unknown labels are left out, finding by finding.
"""

from collections.abc import Sequence

import numpy as np

from cxr.study.influence import MetricWithInfluence, auroc, average_precision, mean
from cxr.study.results import AVERAGE_PRECISION, MAIN, TestSet, of_finding

FEWEST = 2  # patients on either side of a finding: an error between patients cannot be seen otherwise
METRICS_OF_FINDING = {MAIN: auroc, AVERAGE_PRECISION: average_precision}


def measured_findings(labels: np.ndarray, patients: np.ndarray) -> list[int]:
    """Numbers of the findings that some patients show and some do not.

    Args:
        labels: [N, F] of 1, 0 and not a number.
        patients: [N], names or numbers.
    """
    return [
        number
        for number, column in enumerate(labels.T)
        if min(len(np.unique(patients[column == side])) for side in (0, 1)) >= FEWEST
    ]


def measure_findings(
    scores: np.ndarray, labels: np.ndarray, patients: np.ndarray, findings: Sequence[str]
) -> dict[str, MetricWithInfluence]:
    """AUROC and AUPRC: the means over `measured_findings`, then those of each, see `of_finding`.

    Args:
        scores: [N, F].
        patients: int [N], from 0 to P - 1.
        findings: F names.
    """
    measured, found = measured_findings(labels, patients), {}
    for name, metric in METRICS_OF_FINDING.items():
        for number in measured:
            known = ~np.isnan(labels[:, number])
            one = metric(scores[known, number], labels[known, number] == 1, patients[known])
            found[of_finding(name, findings[number])] = one.of_all(int(patients.max()) + 1)
    return {name: mean_of_findings([found[of_finding(name, findings[number])] for number in measured])
            for name in METRICS_OF_FINDING} | found  # fmt: skip


def mean_of_findings(metrics: Sequence[MetricWithInfluence]) -> MetricWithInfluence:
    """As sure as if every finding had the same patients, who are no more than those of one."""
    return mean(metrics, len(metrics) / sum(1 / one.patients for one in metrics))


def describe_several(test: TestSet, primary: bool) -> list[str]:
    """What a reader must know of such a study, a line each.

    Args:
        primary: whether one comparison was named for the answer.
    """
    measured = measured_findings(np.array(test.labels), np.array(test.patients))
    left = [name for number, name in enumerate(test.findings) if number not in measured]
    lines = [
        f"A picture can show several findings. AUROC and AUPRC are means over {len(measured)} findings, each of the "
        "pictures whose label is known; AUPRC of guessing is the share of pictures that show the finding. No threshold "
        "is chosen, so accuracy, F1, sensitivity, specificity, calibration and confusion are not given, nor subgroups.",
    ]
    if primary:
        lines.append(
            "Differences of single findings are those of the primary comparison, corrected over the findings by Holm "
            "as a family of their own, and decide nothing."
        )
    if left:
        lines.append(
            f"Left out of all means, as fewer than {FEWEST} test patients show it or fewer do not: {', '.join(left)}."
        )
    return lines
