"""First-order steps of the solver that distilled models are made for: DDIM (arXiv:2010.02502), trailing spacing.

On noise schedules that keep the variance, latents x of noise level t are alpha x0 + sigma e, and with the velocity
v = alpha e - sigma x0 (arXiv:2202.00512, app. D) a step turns x and v by the angle between two levels. So a step is
asked for its velocity, and any stored state can be landed on by one.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor

CLEAN = -1  # the level after the last step: no noise


def trailing_levels(steps: int, timesteps: int) -> list[int]:
    """The noise levels of so many steps, from the highest down, and `CLEAN`; those of half as many steps are every
    second of them."""
    return [int(level) for level in np.round(np.arange(steps, -1, -1) * timesteps / steps) - 1]


class FirstOrder:
    """Steps between noise levels; levels are int64 [B], latents, predictions and velocities [B, C, h, w]."""

    def __init__(self, schedule: DDPMScheduler) -> None:
        kept = torch.cat([schedule.alphas_cumprod.double(), torch.ones(1).double()])  # the last, or -1, is `CLEAN`
        self.alphas, self.sigmas = kept.sqrt().float(), (1 - kept).sqrt().float()
        self.angles = torch.atan2((1 - kept).sqrt(), kept.sqrt()).float()
        self.epsilon = schedule.config.prediction_type == "epsilon"

    def velocity(self, latents: Tensor, levels: Tensor, predicted: Tensor) -> Tensor:
        """Of what a network predicts, the noise or the velocity itself."""
        if not self.epsilon:
            return predicted
        alpha, sigma = (column(values, levels) for values in (self.alphas, self.sigmas))
        return (predicted - sigma * latents) / alpha

    def step(self, latents: Tensor, levels: Tensor, ends: Tensor, velocity: Tensor) -> Tensor:
        """The latents at the levels `ends`."""
        angle = column(self.angles, levels) - column(self.angles, ends)
        return angle.cos() * latents - angle.sin() * velocity

    def needed_velocity(self, latents: Tensor, levels: Tensor, ends: Tensor, landing: Tensor) -> Tensor:
        """With which one step from `latents` ends at `landing`."""
        angle = column(self.angles, levels) - column(self.angles, ends)
        return (angle.cos() * latents - landing) / angle.sin()

    def follow(self, noise: Tensor, levels: Sequence[int], velocity: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The latents at each of the levels, the first of which is noise: [B, len(levels), C, h, w].

        Args:
            velocity: of latents at levels.
        """
        states = [noise]
        for level, end in pairwise(levels):
            here, there = (torch.full((len(noise),), number, device=noise.device) for number in (level, end))
            states.append(self.step(states[-1], here, there, velocity(states[-1], here)))
        return torch.stack(states, 1)


def column(values: Tensor, levels: Tensor) -> Tensor:
    return values.to(levels.device)[levels].view(-1, 1, 1, 1)
