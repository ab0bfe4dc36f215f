"""Training with differential privacy by patient: each step adds up gradients of patients, cut to a bound, and noise."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from torch import Tensor

from cxr.diffusion.family import DiffusionModel
from cxr.errors import BadInput
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig, Metrics
from cxr.finetune.loop import Trainer
from cxr.finetune.privacy import OPTION, PatientDraws
from cxr.ranks import Ranks

PLAIN_METRICS = ("loss", "seconds")  # what tells of the patients of a step beside the noise


class PrivateTrainer(Trainer):
    """Trains a LoRA with DP-SGD by patient; otherwise a `Trainer`, whose optimizer works on noisy gradients.

    Args:
        instances: the set, [N, size, size]; `draws.owners` is of the same pictures in the same order.

    Raises:
        BadInput: as `Trainer`; or this machine computes in fp16, or the base has batch norm.
    """

    def __init__(
        self, model: DiffusionModel, config: FinetuneConfig, instances: CaptionedImages, draws: PatientDraws,
        recipe: dict[str, Any] | None = None, ranks: Ranks = Ranks(),  # noqa: B008
    ) -> None:  # fmt: skip
        super().__init__(model, config, instances, recipe=recipe, ranks=ranks, units=draws.privacy.patients)
        if self.precision == torch.float16:
            raise BadInput(f"{OPTION}: this GPU has no bf16, and fp16 leaves steps out; give --precision fp32")
        for network in model.networks:
            if any(isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) for layer in network.modules()):
                raise BadInput(
                    f"{OPTION}: the base's {type(network).__name__} has batch norm, by which each patient changes the "
                    "gradients of the others; take a base without, as tiny, sd15 and sd21 are"
                )
        self.draws = draws
        self.selection.last = True
        self.hooks = [GradSampleHooks(network, loss_reduction="sum") for network in model.networks]

    def step(self) -> Metrics:
        return {name: value for name, value in super().step().items() if name not in PLAIN_METRICS}

    def backward(self) -> float:
        """Leaves the mean of the patients' clipped gradients with noise, over the expected number of patients; returns
        the mean error, which is for no report."""
        privacy, trained = self.draws.privacy, list(self.parameters.values())
        sums = [torch.zeros_like(parameter) for parameter in trained]
        error = torch.zeros((), device=self.model.device)
        patients = self.draws.sample(self.done, self.config.batch)[self.ranks.rank :: self.ranks.size]
        for group in group_patients(patients, self.config.batch):
            errors, gradients = self.patient_gradients(group)
            error += errors.sum() / privacy.expected
            for total, clipped in zip(sums, clip_patients(gradients, privacy.bound), strict=True):
                total += clipped.sum(dim=0)
        self.ranks.all_reduce([error, *sums])
        noise = self.draws.noise(self.done, [parameter.shape for parameter in trained])
        for parameter, total, added in zip(trained, sums, noise, strict=True):
            parameter.grad = (total + torch.from_numpy(added).to(total.device)) / privacy.expected
        return error.item()

    def patient_gradients(self, group: Sequence[np.ndarray]) -> tuple[Tensor, list[Tensor]]:
        """The mean error of each patient's pictures, [P], and its gradient, [P, ...] of each trained parameter."""
        rows, sizes = np.concatenate(group), [len(pictures) for pictures in group]
        weights = np.repeat([1 / size for size in sizes], sizes)
        owners = torch.from_numpy(np.repeat(np.arange(len(group)), sizes)).to(self.model.device)
        batch = self.draw_schedule.batch_of(self.done, rows.tolist(), weights.tolist(), self.draws.secret)
        errors = self.objective.errors(batch) * batch.weights.to(self.model.device)
        with warnings.catch_warnings():  # a first layer's inputs need no gradient, and the hooks want none
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            errors.sum().backward()
        gradients = [sum_by_owner(take_samples(p), owners, len(group)) for p in self.parameters.values()]
        return sum_by_owner(errors.detach(), owners, len(group)), gradients

    def clip(self) -> Tensor:
        """Each patient's gradient is clipped already; only returns the norm of their noisy mean."""
        return torch.nn.utils.get_total_norm(self.gradients())


def group_patients(patients: Sequence[np.ndarray], most: int) -> Iterator[list[np.ndarray]]:
    """Whole patients, in groups of at most so many pictures; none of them has more."""
    group: list[np.ndarray] = []
    for pictures in patients:
        if group and sum(map(len, group)) + len(pictures) > most:
            yield group
            group = []
        group.append(pictures)
    if group:
        yield group


def take_samples(parameter: torch.nn.Parameter) -> Tensor:
    """The gradient of each row, float32 [B, ...], as the hooks left it; and leaves none."""
    samples: Tensor = parameter.grad_sample  # type: ignore[attr-defined]
    parameter.grad_sample = parameter.grad = None  # type: ignore[attr-defined]
    return samples.float()


def sum_by_owner(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """[B, ...] to [count, ...]: the sum of the rows of each owner, int64 [B]."""
    return values.new_zeros((count, *values.shape[1:])).index_add_(0, owners, values)


def clip_patients(gradients: Sequence[Tensor], bound: float) -> list[Tensor]:
    """Each patient's gradient, [P, ...] of each parameter, cut to a norm of `bound` over all parameters together."""
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factors = (bound / (norms + 1e-6)).clamp(max=1)  # as Opacus has it: rounding does not pass the bound
    return [gradient * factors.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]
