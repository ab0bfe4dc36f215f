"""Differential privacy by patient: what a training promises, what noise that takes, and where it would not hold.

Steps are those of DP-SGD (Abadi et al. 2016, arXiv:1607.00133), with all pictures of a patient as one unit (McMahan et
al. 2018, arXiv:1710.06963). Noise and epsilon are Opacus's, by Renyi differential privacy of the sampled Gaussian
mechanism (Mironov et al. 2019, arXiv:1908.10530).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from cxr.errors import BadInput
from cxr.finetune.captions import Row
from cxr.finetune.config import FinetuneConfig, total_steps

OPTION = "--epsilon"
METRIC = "privacy"  # of the record, see `ModelMetrics`
DROWNING = 0.01  # noise over a patient's gradient, in each trained number and step, above which it costs much
SAMPLED, NOISE, PICTURES = range(3)  # streams of draws of one secret
ASSUMPTIONS = (
    "It compares trainings with and without one patient, all of their pictures and captions together; a patient is who "
    "has an id of their own in the set. How the set was chosen and split is taken as given.",
    "It is of the model's weights alone. The files beside them (samples, plan.parquet, lineage.json) show or name "
    "patients; the number of training patients and the names of their findings are taken as known.",
    "The last checkpoint is kept, so that no validation patient had a say in the weights. Losses of training patients "
    "are not stored.",
    "Every further training on these patients, and every setting that was chosen by what an earlier one gave, spends "
    "an epsilon of its own: they add up. What the base model knew before is not covered.",
    "Who is drawn at a step, and the noise, follow from the owner's key: who has it can take the noise off. They are "
    "computed with a usual random generator and rounded numbers, not with those of cryptography.",
)


@dataclass(frozen=True)
class Privacy:
    """What a training promises, and by what means."""

    epsilon: float  # spent when all steps are done
    delta: float
    sigma: float  # standard deviation of the noise on the sum of patients' gradients, in bounds
    bound: float  # on the norm of a patient's gradient
    sampling_rate: float  # chance of each patient to be in a step
    steps: int
    patients: int

    @property
    def expected(self) -> float:
        """Patients in a step, in the mean."""
        return self.sampling_rate * self.patients

    @property
    def noise_share(self) -> float:
        """The noise over the longest gradient that a patient can have, in each trained number, after the mean."""
        return self.sigma / self.expected

    def for_record(self) -> dict[str, Any]:
        accountant = f"Renyi differential privacy, Opacus {version('opacus')}"
        return {**asdict(self), "unit": "patient", "accountant": accountant, "assumptions": list(ASSUMPTIONS)}


@dataclass(frozen=True)
class PatientDraws:
    """Who takes part in each step, and its noise. Every draw follows from the secret and the step alone, so that the
    number of workers and restarts change none.

    What is drawn for a picture, as its time step, has to be secret too: it goes by the picture's number, which one
    patient more changes for others.
    """

    privacy: Privacy
    owners: np.ndarray  # int [N], from 0: the patient of each training picture
    secret: int = field(repr=False)

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        """Of each patient."""
        return np.split(np.argsort(self.owners, kind="stable"), np.cumsum(np.bincount(self.owners))[:-1])

    def sample(self, step: int, most: int) -> list[np.ndarray]:
        """Pictures of each patient of a step (Poisson sampling); `most` of those who have more, drawn."""
        drawn = np.flatnonzero(self.chance(SAMPLED, step).random(self.privacy.patients) < self.privacy.sampling_rate)
        return [
            self.chance(PICTURES, step, patient).permutation(rows)[:most] if len(rows) > most else rows
            for patient, rows in ((int(patient), self.pictures[patient]) for patient in drawn)
        ]

    def noise(self, step: int, shapes: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """To add to the sum of patients' gradients, float32 of these shapes."""
        chance, deviation = self.chance(NOISE, step), np.float32(self.privacy.sigma * self.privacy.bound)
        return [deviation * chance.standard_normal(tuple(shape), dtype=np.float32) for shape in shapes]

    def chance(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.secret, *key])


def check_private(config: FinetuneConfig, rows: Sequence[Row]) -> None:
    """`BadInput` where a recipe asks for a promise that this training would not keep.

    Args:
        rows: of the catalog, those that are trained on.
    """
    if config.epsilon is None:
        if config.delta is not None:
            raise BadInput(f"--delta {config.delta:g}: is of {OPTION}; give that too, or neither")
        return
    refused = {
        "--method dreambooth: noise goes to every number that is trained, and this trains them all; take lora": (
            config.method != "lora"
        ),
        "--prior-weight: class pictures are no patients, so no gradient of theirs is bounded; give 0": (
            config.prior_weight > 0
        ),
        "--folds: each fold trains on the patients again and spends as much again; give 1": config.folds > 1,
        "--patience: when to stop would be chosen by validation patients, whom the promise leaves out; give 0": (
            config.patience > 0
        ),
        "--gradient-checkpointing: with it there is no gradient of each patient; leave it out, and lower --batch": (
            config.gradient_checkpointing
        ),
        "--precision fp16: its scaler leaves steps out by what patients' gradients are; give bf16 or fp32": (
            config.precision == "fp16"
        ),
    }
    for line, applies in refused.items():
        if applies:
            raise BadInput(f"{OPTION} with {line}")
    unknown = [row["patient_id"] for row in rows].count(None)
    if unknown:
        raise BadInput(
            f"{OPTION}: of {unknown} of {len(rows)} training pictures the patient is not known, and the promise is made"
            " to patients; ingest the set with patients' ids"
        )


def plan_privacy(config: FinetuneConfig, patients: int) -> Privacy:
    """The noise that keeps the recipe's promise to so many training patients.

    Raises:
        BadInput: more patients are asked for at a step than there are, or no noise keeps the promise.
    """
    assert config.epsilon is not None
    expected, delta = config.batch * config.accumulation, config.delta or 1 / (10 * patients)
    if expected > patients:
        raise BadInput(
            f"--batch {config.batch} x {config.accumulation} accumulated: more than the {patients} training patients; "
            "lower --batch"
        )
    if delta * patients >= 1:
        raise BadInput(
            f"--delta {delta:g}: with {patients} training patients this allows to give one away whole; give less than "
            f"{1 / patients:.2g}"
        )
    rate, steps = expected / patients, total_steps(config, patients)
    try:
        sigma = find_noise(config.epsilon, delta, rate, steps)
    except ValueError:
        raise BadInput(
            f"{OPTION} {config.epsilon:g}: no noise keeps this with delta {delta:.2g}; give a larger one"
        ) from None
    return Privacy(spend(sigma, rate, steps, delta), delta, sigma, config.clip_bound, rate, steps, patients)


@lru_cache
def find_noise(epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """The least sigma whose steps spend no more than epsilon; takes seconds where many of the patients are in a step.
    Raises `ValueError` where there is none."""
    from opacus.accountants.utils import get_noise_multiplier

    with warnings.catch_warnings():  # that its bound could be tighter
        warnings.simplefilter("ignore")
        return get_noise_multiplier(target_epsilon=epsilon, target_delta=delta, sample_rate=sampling_rate, steps=steps)


def spend(sigma: float, sampling_rate: float, steps: int, delta: float) -> float:
    """The epsilon of so many steps, by Opacus's accountant."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(sigma, sampling_rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return accountant.get_epsilon(delta)


def describe_noise(privacy: Privacy) -> str:
    """The arithmetic of the noise, in a sentence."""
    return (
        f"noise of {privacy.sigma:.3g} bounds on the sum over {privacy.expected:g} of {privacy.patients:,} patients is "
        f"{privacy.noise_share:.2g} of the longest gradient of a patient, in each trained number and each of "
        f"{privacy.steps:,} steps"
    )


def warn_of_noise(privacy: Privacy, note: Callable[[str], None]) -> None:
    """Tells where the noise will cost much of what is to be learned."""
    if privacy.noise_share > DROWNING:
        needed = math.ceil(privacy.noise_share / DROWNING)
        note(
            f"{OPTION} {privacy.epsilon:.2g}: {describe_noise(privacy)}. Above {DROWNING:g} it costs "
            f"much of what is to be learned: {needed} times as many patients at a step (--batch), of a set as much "
            "larger, bring it down to that"
        )
