"""Canaries: the owner's key draws them and tosses their coins, the same each time, and nobody else can."""

import numpy as np
import pytest

from cxr.data.canaries import draw_canaries
from cxr.data.lineage_key import LineageKey
from cxr.errors import BadInput

KEY, OTHER = LineageKey(b"a key of the owner"), LineageKey(b"a key of another")
PATIENTS = [f"patient-{number}" for number in range(300)]


def test_the_same_key_draws_the_same_whatever_the_order_and_another_key_or_seed_others():
    drawn = draw_canaries(PATIENTS, 60, 0, KEY)
    assert draw_canaries(PATIENTS[::-1], 60, 0, KEY) == drawn and len(drawn) == 60
    assert set(draw_canaries(PATIENTS, 60, 1, KEY)) != set(drawn) != set(draw_canaries(PATIENTS, 60, 0, OTHER))


def test_the_coin_is_fair_and_each_canary_has_its_own():
    kept = np.array([list(draw_canaries(PATIENTS, 60, seed, KEY).values()) for seed in range(40)])
    assert abs(kept.mean() - 0.5) < 0.05 and 3 < kept.sum(axis=1).std() < 5  # of 60 coins 3.9
    often = [patient for seed in range(40) for patient in draw_canaries(PATIENTS, 60, seed, KEY)]
    assert len(set(often)) == len(PATIENTS)


def test_all_patients_can_be_canaries_and_the_draw_grows_with_the_count():
    assert set(draw_canaries(PATIENTS, 300, 0, KEY)) == set(PATIENTS)
    few, more = draw_canaries(PATIENTS, 30, 0, KEY), draw_canaries(PATIENTS, 60, 0, KEY)
    assert few.items() <= more.items()


@pytest.mark.parametrize(
    ("count", "line"),
    [(8, "--canaries 8: a bound of epsilon takes 20 at least"),
     (301, "--canaries 301: the training part has 300 patients whose ids are known; give fewer")],
)  # fmt: skip
def test_too_few_and_too_many_are_one_line(count: int, line: str):
    with pytest.raises(BadInput, match=line):
        draw_canaries(PATIENTS, count, 0, KEY)
