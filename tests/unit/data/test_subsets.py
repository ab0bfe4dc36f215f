"""Parts of the patients: nested, whole, of each finding its share, and the same for whoever asks."""

from itertools import pairwise

import numpy as np
import pytest

from cxr.data.subsets import SUBSET_SEED, entry_shares
from cxr.finetune.config import FinetuneConfig
from cxr.study.config import StudyConfig


def alone(counts: dict[str, int]) -> tuple[list[str], list[str]]:
    """Findings and units of so many patients of each finding with two pictures each."""
    rows = [(finding, f"{finding}{row // 2}") for finding, count in counts.items() for row in range(2 * count)]
    return [finding for finding, _ in rows], [unit for _, unit in rows]


@pytest.mark.parametrize(("share", "expected"), [(0.1, (20, 6)), (0.25, (50, 15)), (0.5, (100, 30)), (1.0, (200, 60))])
def test_of_each_finding_comes_its_share_of_patients(share: float, expected: tuple[int, int]) -> None:
    findings, units = alone({"normal": 200, "pneumonia": 60})
    chosen = np.flatnonzero(entry_shares(findings, units, 1) <= share)
    shown = [{units[row] for row in chosen if findings[row] == name} for name in ("normal", "pneumonia")]
    assert tuple(map(len, shown)) == expected and len(chosen) == 2 * sum(expected)  # with all their pictures


def test_a_smaller_part_lies_in_a_larger_one_of_the_same_seed() -> None:
    findings, units = alone({"normal": 40, "pneumonia": 25})
    entry = entry_shares(findings, units, 7)
    parts = [set(np.flatnonzero(entry <= share)) for share in (0.1, 0.25, 0.5, 1.0)]
    assert all(small < large for small, large in pairwise(parts))
    assert set(np.flatnonzero(entry_shares(findings, units, 8) <= 0.25)) != parts[1]


def test_the_part_depends_on_names_and_not_on_the_order_of_rows() -> None:
    findings, units = alone({"normal": 40, "pneumonia": 25})
    turned = entry_shares(findings[::-1], units[::-1], 7)[::-1]
    assert np.array_equal(turned, entry_shares(findings, units, 7))


def test_the_smallest_part_shows_every_finding() -> None:
    for seed in range(3):
        assert entry_shares(["a"] * 9 + ["b"], [f"p{row}" for row in range(10)], seed)[9] == 0


def test_patients_of_several_findings_are_drawn_as_often_as_others() -> None:
    """Each of 300 patients shows a mix of ten findings of its own, so that every group of alike ones is small; a part
    that always rounded down would leave them all out."""
    rng, rows = np.random.default_rng(0), []
    for patient in range(300):
        rows += [(f"finding{finding}", f"p{patient}") for finding in rng.choice(10, 3, replace=False)]
    findings, units = [finding for finding, _ in rows], [unit for _, unit in rows]
    shares = [len({units[row] for row in np.flatnonzero(entry_shares(findings, units, s) <= 0.25)}) for s in range(20)]
    assert np.mean(shares) / 300 == pytest.approx(0.25, abs=0.03)


def test_every_recipe_draws_the_same() -> None:
    assert StudyConfig().subset_seed == FinetuneConfig().subset_seed == SUBSET_SEED
