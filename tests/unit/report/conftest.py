"""Studies that nobody made, and their figures, drawn once."""

from dataclasses import replace

import pytest

from cxr.study.pages.plots import draw
from cxr.study.results import Study
from tests.unit.report.sample import TEN, optimistic, sample_study, unfinished


@pytest.fixture(scope="session")
def binary() -> Study:
    return sample_study()


@pytest.fixture(scope="session")
def ten() -> Study:
    """Ten findings, of phantoms, with the bias of choosing on the test set."""
    return optimistic(sample_study(TEN, phantom=True))


@pytest.fixture(scope="session")
def odd() -> Study:
    """One seed, and of two arms nothing."""
    return unfinished(sample_study(seeds=(42,)))


@pytest.fixture(scope="session")
def drawn(binary, ten) -> dict[str, dict[str, bytes]]:
    """Of the ten findings with four arms: one of each kind."""
    few = [arm for arm in ten.arms if arm.arm in ("baseline", "synth_50", "synth_only", "real_short_67")]
    return {"binary": draw(binary), "ten": draw(replace(ten, arms=few))}
