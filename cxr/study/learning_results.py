"""What a study reads off its learning curve, in named records; a part of `results.json`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Worth:
    """What an arm's synthetic pictures did, in real ones: read off the learning curve, with 95 % intervals. At an end
    of `LearningCurve.reach` a number stands for itself and all beyond it."""

    arm: str
    real: int
    synthetic: int
    auroc: float
    equivalent: float  # real pictures alone that have this AUROC
    equivalent_low: float
    equivalent_high: float
    worth: float  # of one synthetic picture: (equivalent - real) / synthetic
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """AUROC against the number of real pictures, of arms without others, all trained for as many steps."""

    form: Literal["power", "monotone"]  # a - b n^-c, or the nearest curve that never falls
    fit_p: float  # that a power law and noise fit no better
    sizes: list[int]  # real pictures of the arms, ascending
    aurocs: list[float]  # means over the seeds that they share
    rise: list[float]  # from the first to the last, with its 95 % interval
    reach: list[float]  # least and most real pictures that are told
    band: list[list[float]]  # [real pictures, AUROC, low, high]
    readings: list[Worth]  # none where the curve is flat: the interval of its rise holds 0

    @property
    def flat(self) -> bool:
        return self.rise[1] <= 0

    def beyond(self, equivalent: float) -> int:
        """1 where it stands for itself and all above, -1 for all below, else 0."""
        return (equivalent >= self.reach[1]) - (equivalent <= self.reach[0])

    def tells(self, one: Worth) -> bool:
        """Whether the interval of what is read has an end."""
        return (self.beyond(one.equivalent_low), self.beyond(one.equivalent_high)) != (-1, 1)
