"""A study: which arms, which seeds, which classifier. Light: no torch."""

import operator
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from tyro.conf import Suppress, arg
from tyro.constructors import PrimitiveConstructorSpec

from cxr.classify.config import ClassifyConfig
from cxr.data.labels import LabelPolicy
from cxr.data.subsets import SUBSET_SEED
from cxr.errors import BadInput, nearest

BASELINE = "baseline"
Budget = Literal["steps", "epochs"]


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
    redraw: bool = Field(False, exclude_if=operator.not_)  # with each seed another part of the real pictures
    shuffled: bool = False  # the synthetic pictures' labels are dealt out anew among them
    # Of a filtered set (cxr generate --accept) an arm takes accepted pictures alone. Else its share of all that were
    # made: as they are, without the refused ones, or without as many at random.
    filter: Annotated[Literal["off", "drop", "random_drop"] | None, Field(exclude_if=operator.not_)] = None
    # The arm of as much real and no synthetic data; of `drop` that of `random_drop`
    control: str | None = None

    @model_validator(mode="after")
    def _holds_pictures(self) -> "Arm":
        if not self.real and not self.synthetic:
            raise ValueError(f"arm {self.name}: neither real nor synthetic pictures; give some")
        if self.order == "synthetic_first" and not (self.real and self.synthetic):
            raise ValueError(f"arm {self.name}: synthetic_first needs real and synthetic pictures; give both")
        for option in ("shuffled", "filter"):
            if getattr(self, option) and not self.synthetic:
                raise ValueError(f"arm {self.name}: {option} needs synthetic pictures; give some")
        return self


SUBGROUPS = "view,sex,age,view+sex,sex+age"
PRIMARY = "synth_100"  # where the study has it and names no other
OPERATING_RULES = re.compile(r"youden|f1|0\.5|sensitivity=(0\.\d+|1)")
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
FILTERS = (  # what filtering does, and what having fewer pictures; `synth_100` has as many accepted ones as the first
    Arm(name="unfiltered_100", synthetic=100, filter="off"),
    Arm(name="filtered_100", synthetic=100, filter="drop", control="random_drop_100"),
    Arm(name="random_drop_100", synthetic=100, filter="random_drop"),
)
# A mix shows each real picture less often in as many steps, and takes more steps in as many epochs: either alone moves
# metrics. Controls are real data seen as often, in as many steps. That of limited arms is all that can be done with the
# same real data: the whole budget.
LIMITED = (Arm(name="limited_10_real", real=10), Arm(name="limited_25_real", real=25))
CONTROLS: dict[Budget, tuple[Arm, ...]] = {
    "steps": (*LIMITED, Arm(name="real_short_67", steps=66.67), Arm(name="real_short_50", steps=50)),
    "epochs": (*LIMITED, Arm(name="duplicate_real_100", repeat=2)),
}
AS_MANY = (PRIMARY, "pretrain_then_finetune", "unfiltered_100")  # synthetic as real pictures
CONTROL_OF: dict[Budget, dict[str, str]] = {
    "steps": {"synth_50": "real_short_67"} | dict.fromkeys(AS_MANY, "real_short_50"),
    "epochs": dict.fromkeys(AS_MANY, "duplicate_real_100"),
}


def standard_arms(budget: Budget = "steps", only: Collection[str] | None = None) -> tuple[Arm, ...]:
    """The arms of the guide and further ones, with the controls that the budget asks for.

    Args:
        only: names of those that are wanted, beside the baseline; their controls come with them. None: all but those
            of filtered sets.
    """
    every = (*GUIDE, *FURTHER) if only is None else (*GUIDE, *FURTHER, *FILTERS)
    wanted = [arm for arm in every if only is None or arm.name in {BASELINE, *only}]
    arms = [arm.model_copy(update={"control": CONTROL_OF[budget].get(arm.name, arm.control)}) for arm in wanted]
    needed = {arm.control for arm in arms}
    return (*arms, *(control for control in CONTROLS[budget] if control.name in needed))


def choose_arms(arms: Sequence[Arm], only: str, without: str) -> tuple[Arm, ...]:
    """The arms that are wanted, with the baseline and their controls; of those left out their controls go too.

    Args:
        only, without: names, separated by commas; empty: nothing is said.

    Raises:
        BadInput: no arm is called so, or the one left out is the baseline or the control of another.
    """
    if only:
        wanted = {BASELINE, *read_names("--only", only, arms)}
        wanted |= {arm.control for arm in arms if arm.name in wanted and arm.control}
        arms = [arm for arm in arms if arm.name in wanted]
    if not without:
        return tuple(arms)
    out = read_names("--without", without, arms)
    kept = [arm for arm in arms if arm.name not in out]
    needed = {arm.control: arm.name for arm in kept if arm.control}
    if BASELINE in out:
        raise BadInput(f"--without {BASELINE}: all other arms are compared with it; leave out another")
    if control := next((name for name in out if name in needed), None):
        raise BadInput(f"--without {control}: is the control of {needed[control]}; leave both out, or none")
    theirs = {arm.control for arm in arms if arm.name in out} - set(needed)
    return tuple(arm for arm in kept if arm.name not in theirs)


def read_names(option: str, words: str, arms: Sequence[Arm]) -> list[str]:
    """The names of arms in an option's words."""
    names, known = [name.strip() for name in words.split(",")], [arm.name for arm in arms]
    for name in names:
        if name not in known:
            raise BadInput(f"{option} {name[:60]!r}: no arm of this study is called so; {nearest(name, known)}")
    return names


def parse_seeds(words: Sequence[str]) -> tuple[int, ...]:
    try:
        return tuple(int(seed) for seed in words[0].split(","))
    except ValueError:
        raise BadInput(f"--seeds {words[0][:60]!r}: give whole numbers separated by commas, as 42,123,456") from None


Seeds = Annotated[
    tuple[int, ...],
    PrimitiveConstructorSpec(
        nargs=1, metavar="INT,INT,...", instance_from_str=parse_seeds,
        is_instance=lambda seeds: isinstance(seeds, tuple), str_from_instance=lambda seeds: [",".join(map(str, seeds))],
    ),
]  # fmt: skip


class StudyConfig(BaseModel):
    """The recipe of a study: which arms, which seeds, which classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: ClassifyConfig = ClassifyConfig()
    budget: Annotated[Budget, arg(name="training-budget")] = "steps"
    """steps: each arm takes as many optimiser steps as the baseline; epochs: as many epochs."""
    arms_file: Annotated[Path | None, arg(name="arms")] = Field(None, exclude=True)
    """A TOML file with more arms: [[arm]] name, real, synthetic (percent), repeat, order, steps, redraw, shuffled,
    filter, control."""
    only: str = Field("", exclude=True)
    """Of the arms these alone, with the baseline and their controls: synth_50,synth_100."""
    without: str = Field("", exclude=True)
    """All arms but these, as synth_100,shuffled_100; a control that no other arm needs goes with them."""
    arms: Suppress[tuple[Arm, ...]] = Field(standard_arms(), validate_default=True)
    """With those of the file, and the controls that the budget asks for; less those that are left out."""
    primary: str | None = Field(None, validate_default=True)
    """The arm that the answer is about, tested alone at 5 %; synth_100 where there is one. Name it before the run."""
    operating_point: str = "youden"
    """Where accuracy, sensitivity, specificity and F1 are measured, chosen on validation: youden (the highest
    sensitivity + specificity), f1, sensitivity=0.95 (at least), or 0.5. Of three classes or more: the most probable;
    where pictures can show several findings: none."""
    labels: LabelPolicy = LabelPolicy()
    """What uncertain and unknown labels count as, where pictures can show several findings."""
    margin: float | None = Field(None, gt=0, lt=0.5)
    """A difference in AUROC that does not matter: then arms are also tested for being equivalent. Name it before the
    run, as 0.01."""
    subgroups: str = SUBGROUPS
    """Whose metrics and gaps are shown, named before the run: view, sex, age (decades), and joined ones of 10 patients
    or more."""
    seeds: Seeds = (42, 123, 456, 789, 1011)
    """Of the trials of each arm, separated by commas."""
    subset_seed: int = Field(SUBSET_SEED, ge=0, lt=2**62)
    """Draws the patients of arms with a part of the real data; the same as of `cxr finetune --patients`."""
    positive: str | None = None
    """Of two findings, the one that is looked for; None: the last by name."""
    selection_bias: bool = False
    """Also show test-set selection bias: what choosing the epoch on the test set, as the usual notebook does, adds."""
    resamples: int = Field(2000, ge=100, le=100_000)
    """Of the bootstrap over patients."""
    allow_seen_patients: bool = False
    """Go on though the generator saw test patients, or may have; the report says so."""
    allow_unchecked_copies: bool = False
    """Go on though nobody looked for copies of real pictures; the report says so."""
    allow_unfaithful_labels: bool = False
    """Go on though most pictures of a finding do not show it; the report says so."""
    min_prompt_accuracy: float = Field(0.5, ge=0, le=1)
    """Share of synthetic labels that are right, of the worst finding, at least."""

    @field_validator("arms")
    @classmethod
    def _budget_and_file_bring_arms(cls, arms: tuple[Arm, ...], info: ValidationInfo) -> tuple[Arm, ...]:
        budget, file = info.data.get("budget", "steps"), info.data.get("arms_file")
        unfit = {arm for controls in CONTROLS.values() for arm in controls} - {*CONTROLS[budget]}
        if unfit & {*arms}:
            standard = {arm.name for each in CONTROLS for arm in standard_arms(each)}
            own = [arm for arm in arms if arm.name not in standard]
            arms = (*standard_arms(budget, {arm.name for arm in arms}), *own)
        if file is not None:
            from cxr.study.arms import read_arms

            arms = (*arms, *read_arms(file))
        return choose_arms(arms, info.data.get("only", ""), info.data.get("without", ""))

    @field_validator("operating_point")
    @classmethod
    def _is_a_rule(cls, rule: str) -> str:
        if not OPERATING_RULES.fullmatch(rule):
            raise ValueError("give youden, f1, sensitivity=0.95 (or another share) or 0.5")
        return rule

    @field_validator("subgroups")
    @classmethod
    def _names_attributes(cls, words: str) -> str:
        names = [name.strip() for name in words.split(",")]
        for name in names:
            parts = name.split("+")
            if not {*parts} <= {"view", "sex", "age"} or len({*parts}) < len(parts):
                raise ValueError("give view, sex, age, or some of them joined by +, with commas between: view,sex+age")
        return ",".join(dict.fromkeys(names))

    @field_validator("primary")
    @classmethod
    def _is_an_arm(cls, primary: str | None, info: ValidationInfo) -> str | None:
        """None becomes the usual one, or the only one that there is beside the baseline. Where the recipe's is left
        out, it becomes the only one with synthetic pictures."""
        arms = info.data.get("arms", ())
        others = [arm.name for arm in arms if arm.name != BASELINE]
        if primary is None:
            return PRIMARY if PRIMARY in others else others[0] if len(others) == 1 else None
        if primary not in others and (info.data.get("only") or info.data.get("without")):
            able = [arm.name for arm in arms if arm.synthetic and not arm.shuffled]
            if len(able) == 1:
                return able[0]
            raise ValueError(f"is left out; name the arm that the answer is about: {' or '.join(able or others)}")
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
            if control.filter == "random_drop" and control == arm.model_copy(
                update={"name": control.name, "control": control.control, "filter": control.filter}
            ):
                continue  # of as many pictures
            if control is arm or control.synthetic or (control.real, control.redraw) != (arm.real, arm.redraw):
                raise ValueError(
                    f"arm {arm.name}: its control {arm.control} is not the same real data alone; name another arm of "
                    f"{arm.real:g} % real pictures without synthetic ones{', with redraw' if arm.redraw else ''}"
                )
        return self
