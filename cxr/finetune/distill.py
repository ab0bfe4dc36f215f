"""Progressive distillation with guidance folded in (Salimans and Ho 2022, arXiv:2202.00512; Meng et al. 2023,
arXiv:2210.03142): a model learns to go in one step where its teacher went in several, with guidance.

The teacher's ways from noise to picture are followed once and stored. The student starts as the teacher and is asked
for ever longer steps between stored states: those of 8 steps, then of 4, and so on. It sees captions, and no picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.first_order import trailing_levels
from cxr.finetune.batches import ORDER, SLOT, TRAJECTORIES, generator, shuffled
from cxr.finetune.config import FIRST_STAGE, TEACHER_STEPS, FinetuneConfig
from cxr.finetune.losses import TensorCache

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Trajectories:
    """The teacher's ways from noise to picture, float32 [N, TEACHER_STEPS + 1, C, h, w], and a caption each."""

    latents: np.ndarray
    captions: Sequence[str]

    def __len__(self) -> int:
        return len(self.latents)


@dataclass(frozen=True)
class Jumps:
    """What one pass of the student takes, B rows: steps from one stored state to a later one."""

    rows: list[int]  # of the trajectories
    starts: list[int]  # teacher's steps before them
    length: int  # teacher's steps in each
    captions: list[str]
    weights: Tensor  # float32 [B], of each row's error


@dataclass(frozen=True)
class JumpSchedule:
    """Which jump every slot of every step has."""

    config: FinetuneConfig
    captions: Sequence[str]
    total: int  # steps of the training

    def batch(self, step: int, slots: Sequence[int]) -> Jumps:
        config, stage = self.config, stage_of(step, self.total, self.config.few_steps)
        position = step * config.batch * config.accumulation
        rows = [shuffled(config.seed, ORDER, len(self.captions), position + slot) for slot in slots]
        chances = [generator(config.seed, SLOT, step, slot) for slot in slots]
        starts = [int(torch.randint(stage, (), generator=chance)) * TEACHER_STEPS // stage for chance in chances]
        captions = [self.captions[row] for row in rows]
        return Jumps(rows, starts, TEACHER_STEPS // stage, captions, torch.ones(len(rows)))


class LandingObjective:
    """How far from the stored states the student's steps end: the mean squared error of its velocity."""

    def __init__(self, model: DiffusionModel, paths: Trajectories, cache: bool, precision: torch.dtype) -> None:
        self.model, self.paths, self.precision = model, paths, precision
        self.levels = torch.tensor(trailing_levels(TEACHER_STEPS, model.timesteps))
        self.states = TensorCache(model.encode_texts, cache)

    def errors(self, jumps: Jumps) -> Tensor:
        """Of each row, float32 [B]."""
        device, starts = self.model.device, torch.tensor(jumps.starts)
        here, there = (self.levels[at].to(device) for at in (starts, starts + jumps.length))
        latents, landing = (
            torch.from_numpy(self.paths.latents[jumps.rows, at.numpy()]).to(device)
            for at in (starts, starts + jumps.length)
        )
        needed = self.model.first_order.needed_velocity(latents, here, there, landing)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            states = self.states(jumps.captions).to(device)
            predicted = self.model.predict_velocity(latents, here, states)
        return (predicted - needed).square().mean(dim=(1, 2, 3))


def stage_of(step: int, total: int, few: int) -> int:
    """How many steps the student is trained for at this one: all stages get as many of `total`."""
    stages = [FIRST_STAGE]
    while stages[-1] > few:
        stages.append(stages[-1] // 2)
    return stages[min(step * len(stages) // total, len(stages) - 1)]


@torch.no_grad()
def follow_teacher(
    model: DiffusionModel, captions: Sequence[str], noise: Tensor, guidance: float, precision: torch.dtype
) -> np.ndarray:
    """As `Trajectories` has it: first-order steps with classifier-free guidance."""
    device = model.device
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        states = torch.cat([model.encode_texts([""] * len(captions)), model.encode_texts(captions)])

        def velocity(latents: Tensor, levels: Tensor) -> Tensor:
            both = model.predict_velocity(latents.repeat(2, 1, 1, 1), levels.repeat(2), states)
            without, told = both.chunk(2)
            return without + guidance * (told - without)

        levels = trailing_levels(TEACHER_STEPS, model.timesteps)
        return model.first_order.follow(noise.to(device), levels, velocity).cpu().numpy()


@torch.no_grad()
def follow_student(model: DiffusionModel, captions: Sequence[str], noise: Tensor, few: int) -> Tensor:
    """Where the student ends in so many steps without guidance: latents [B, C, h, w]."""
    states, levels = model.encode_texts(captions), trailing_levels(few, model.timesteps)

    def velocity(latents: Tensor, levels: Tensor) -> Tensor:
        return model.predict_velocity(latents, levels, states)

    return model.first_order.follow(noise.to(model.device), levels, velocity)[:, -1]


def landing_distance(model: DiffusionModel, paths: Trajectories, few: int, batch: int) -> float:
    """Mean squared distance between where the student ends and where the teacher did, in latents."""
    total = 0.0
    for first in range(0, len(paths), batch):
        rows = slice(first, first + batch)
        start, end = (torch.from_numpy(paths.latents[rows, at]) for at in (0, -1))
        ends = follow_student(model, paths.captions[rows], start, few).cpu()
        total += (ends - end).square().mean(dim=(1, 2, 3)).sum().item()
    return total / len(paths)


def pick_captions(captions: Sequence[str], config: FinetuneConfig) -> list[str]:
    """As many as there are noises, epoch after epoch."""
    return [captions[shuffled(config.seed, ORDER, len(captions), at)] for at in range(config.noises)]


def draw_noise(config: FinetuneConfig, part: str, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Starting noises by their numbers, each of a generator of its own."""
    key = config.seed, TRAJECTORIES, PARTS.index(part)
    return torch.stack([torch.randn(tuple(shape), generator=generator(*key, number)) for number in numbers])
