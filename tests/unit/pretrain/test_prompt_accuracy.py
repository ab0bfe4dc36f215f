import numpy as np

from cxr.pretrain.prompt_accuracy import PromptAccuracy, class_numbers, confusion_table, measure
from cxr.prompts.findings import FINDINGS
from cxr.prompts.phrases import REPHRASED
from cxr.prompts.templates import template_prompts

FRESH = (
    np.zeros((4, 8, 8), np.uint8),
    class_numbers(["Normal_Anatomy", "Normal_Anatomy", "Domain_Shift", "Domain_Shift"]),
)


def test_counts_stand_where_asked_and_seen_cross():
    """A sampler that paints the finding's number, and a judge that takes findings 0 and 1 for one another."""
    asked, seeds_given = {}, []

    def sample(prompts, seeds):
        seeds_given.extend(seeds)
        number = len(asked)
        asked[number] = list(prompts)
        return np.full((len(prompts), 8, 8), number, np.uint8)

    def name(pictures):
        return np.array([{0: 1, 1: 0}.get(int(p[0, 0]), int(p[0, 0])) for p in pictures])

    found = measure(sample, name, FRESH, per_finding=5, seed=3)
    expected = np.diag([0, 0] + [5] * 8)
    expected[0, 1] = expected[1, 0] = 5
    assert (found.counts == expected).all() and found.share == 0.8
    assert found.ceiling == 0.0  # the judge calls a black picture finding 1
    assert len(set(seeds_given)) == 50
    assert asked[4] == list(template_prompts(FINDINGS[4], 5, 3, REPHRASED))


def test_the_table_names_rows_and_leaves_zeros_out():
    counts = np.diag(range(1, 11))
    lines = confusion_table(PromptAccuracy(counts, 1.0)).splitlines()
    assert lines[0].startswith("| asked \\ seen | Normal | Cardiac |")
    assert len(lines) == 2 + len(FINDINGS)
    assert lines[3] == "| Cardiac_Findings | · | 2 | · | · | · | · | · | · | · | · |"
