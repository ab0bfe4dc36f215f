"""A study: which arms, which seeds, which classifier. Light: no torch."""

from collections import Counter
from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from cxr.classify.config import ClassifyConfig
from cxr.data.subsets import SUBSET_SEED

BASELINE = "baseline"


class Arm(BaseModel):
    """One mix of real and synthetic pictures.

    Percentages of pictures are of the real training part; a part of it is drawn by patient, of each finding its share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^[a-z0-9_]{1,40}$")
    real: float = Field(100, ge=0, le=100)
    synthetic: float = Field(0, ge=0, le=10_000)
    repeat: int = Field(1, ge=1, le=100)  # times that each real picture is there
    order: Literal["mixed", "synthetic_first"] = "mixed"
    steps: float = Field(100, gt=0, le=100)  # percent of the optimiser steps that the budget gives
    shuffled: bool = False  # the synthetic pictures' labels are dealt out anew among them
    control: str | None = None  # the arm of as much real and no synthetic data

    @model_validator(mode="after")
    def _holds_pictures(self) -> "Arm":
        if not self.real and not self.synthetic:
            raise ValueError(f"arm {self.name}: neither real nor synthetic pictures; give some")
        if self.order == "synthetic_first" and not (self.real and self.synthetic):
            raise ValueError(f"arm {self.name}: synthetic_first needs real and synthetic pictures; give both")
        if self.shuffled and not self.synthetic:
            raise ValueError(f"arm {self.name}: shuffled needs synthetic pictures; give some")
        return self


PRIMARY = "synth_100"  # where the study has it and names no other
GUIDE = (  # the seven arms of the guide that students copy
    Arm(name=BASELINE),
    Arm(name="synth_25", synthetic=25),
    Arm(name="synth_50", synthetic=50),
    Arm(name=PRIMARY, synthetic=100),
    Arm(name="limited_10", real=10, synthetic=100, control="limited_10_real"),
    Arm(name="limited_25", real=25, synthetic=100, control="limited_25_real"),
    Arm(name="synth_only", real=0, synthetic=100),
)
FURTHER = (
    Arm(name="pretrain_then_finetune", synthetic=100, order="synthetic_first"),
    Arm(name="shuffled_100", synthetic=100, shuffled=True),  # what other pictures do whose labels say nothing
)
# A mix shows each real picture less often in as many steps, and takes more steps in as many epochs: either alone moves
# figures. Controls are real data seen as often, in as many steps. That of limited arms is all that can be done with the
# same real data: the whole budget.
LIMITED = (Arm(name="limited_10_real", real=10), Arm(name="limited_25_real", real=25))
CONTROLS = {
    "steps": (*LIMITED, Arm(name="real_short_67", steps=66.67), Arm(name="real_short_50", steps=50)),
    "epochs": (*LIMITED, Arm(name="duplicate_real_100", repeat=2)),
}
CONTROL_OF = {
    "steps": {"synth_50": "real_short_67", PRIMARY: "real_short_50", "pretrain_then_finetune": "real_short_50"},
    "epochs": {PRIMARY: "duplicate_real_100", "pretrain_then_finetune": "duplicate_real_100"},
}
Budget = Literal["steps", "epochs"]


def standard_arms(budget: Budget = "steps", only: Collection[str] | None = None) -> tuple[Arm, ...]:
    """The arms of the guide and further ones, with the controls that the budget asks for.

    Args:
        only: names of those that are wanted, beside the baseline; their controls come with them.
    """
    wanted = [arm for arm in (*GUIDE, *FURTHER) if only is None or arm.name in {BASELINE, *only}]
    arms = [arm.model_copy(update={"control": CONTROL_OF[budget].get(arm.name, arm.control)}) for arm in wanted]
    needed = {arm.control for arm in arms}
    return (*arms, *(control for control in CONTROLS[budget] if control.name in needed))


class StudyConfig(BaseModel):
    """Frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: ClassifyConfig = ClassifyConfig()
    budget: Budget = "steps"  # steps: every arm takes as many as the baseline; epochs: the guide's
    arms: tuple[Arm, ...] = standard_arms()
    primary: str | None = Field(None, validate_default=True)  # the arm that is tested alone; named before the run
    seeds: tuple[int, ...] = (42, 123, 456, 789, 1011)
    subset_seed: int = Field(SUBSET_SEED, ge=0, lt=2**62)  # of the patients of arms with less than all real data
    positive: str | None = None  # of two classes, the one that is looked for; None: the last by name
    optimism: bool = False  # also show the score of the epoch that is best on the test set
    resamples: int = Field(2000, ge=100, le=100_000)  # of the bootstrap over patients
    allow_seen_patients: bool = False  # a generator that saw test patients, or whose patients are not known
    allow_unchecked_copies: bool = False  # a synthetic set that no evaluation has cleared of copies
    allow_unfaithful_labels: bool = False  # a synthetic set whose pictures do not show what their labels say
    # Of the worst finding, the share of labels that are right: below half, most of what is learned from it is wrong.
    min_prompt_accuracy: float = Field(0.5, ge=0, le=1)

    @field_validator("primary")
    @classmethod
    def _is_an_arm(cls, primary: str | None, info: ValidationInfo) -> str | None:
        """None becomes the usual one, or the only one that there is beside the baseline."""
        others = [arm.name for arm in info.data.get("arms", ()) if arm.name != BASELINE]
        if primary is None:
            return PRIMARY if PRIMARY in others else others[0] if len(others) == 1 else None
        if primary not in others:
            raise ValueError(f"no arm beside the baseline is called so; give one of: {', '.join(others) or 'none'}")
        return primary

    @model_validator(mode="after")
    def _arms_fit(self) -> "StudyConfig":
        names = [arm.name for arm in self.arms]
        if BASELINE not in names:
            raise ValueError(f"arms: none is called {BASELINE}, which the others are compared with; add it")
        for kind, values in (("arm", names), ("seed", self.seeds)):
            if doubled := [str(value) for value, count in Counter(values).items() if count > 1]:
                raise ValueError(f"{kind} {', '.join(doubled)}: stands twice; give each once")
        if wrong := [seed for seed in self.seeds if not 0 <= seed < 2**62]:
            raise ValueError(f"seed {wrong[0]}: give whole numbers from 0, below 2^62")
        return self

    @model_validator(mode="after")
    def _controls_are_the_same_real_data_alone(self) -> "StudyConfig":
        arms = {arm.name: arm for arm in self.arms}
        for arm in (arm for arm in self.arms if arm.control is not None):
            if arm.control not in arms:
                raise ValueError(f"arm {arm.name}: its control {arm.control} is no arm of this study; add it")
            control = arms[arm.control]
            if control is arm or control.synthetic or control.real != arm.real:
                raise ValueError(
                    f"arm {arm.name}: its control {arm.control} is not the same real data alone; name another arm of "
                    f"{arm.real:g} % real pictures without synthetic ones"
                )
        return self
