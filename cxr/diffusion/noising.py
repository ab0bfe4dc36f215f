"""What training does to latents: how noise is added, what is to be predicted, and which time steps are drawn.

Times are int64 [B] and rise with the noise, from 0 to `timesteps` - 1; latents and noise are [B, C, h, w], scaled.
"""

from typing import Any, Protocol

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from cxr.errors import BadInput

PREDICTIONS = ("epsilon", "v_prediction")


class Noising(Protocol):
    """A schedule as training sees it."""

    timesteps: int

    def draw_time(self, generator: torch.Generator) -> int:
        """One time step, of the density that the family is trained with."""

    def told(self, times: Tensor) -> Tensor:
        """What the denoiser is told of the times."""

    def add_noise(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor: ...

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the denoiser is to say of noisy latents."""

    def clean_noise(self, latents: Tensor, predicted: Tensor) -> Tensor:
        """The noise that a prediction at time 0 sees in these latents."""


class Denoising:
    """Of the noise (arXiv:2006.11239, eq. 14) or the velocity (arXiv:2202.00512, app. D), at evenly drawn times.

    Raises:
        BadInput: the base model predicts something else.
    """

    def __init__(self, config: Any) -> None:
        self.schedule = DDPMScheduler.from_config(config)
        if (prediction := self.schedule.config.prediction_type) not in PREDICTIONS:
            raise BadInput(f"the base model predicts {prediction!r}; give one of {' or '.join(PREDICTIONS)}")
        self.epsilon = prediction == "epsilon"
        self.timesteps: int = self.schedule.config.num_train_timesteps

    def draw_time(self, generator: torch.Generator) -> int:
        return int(torch.randint(self.timesteps, (), generator=generator))

    def told(self, times: Tensor) -> Tensor:
        return times

    def add_noise(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return self.schedule.add_noise(latents, noise, times)

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return noise if self.epsilon else self.schedule.get_velocity(latents, noise, times)

    def clean_noise(self, latents: Tensor, predicted: Tensor) -> Tensor:
        """Of a velocity v the noise is sigma x + alpha v (arXiv:2202.00512, app. D)."""
        if self.epsilon:
            return predicted
        kept = self.schedule.alphas_cumprod[0].item()
        return (1 - kept) ** 0.5 * latents + kept**0.5 * predicted


class RectifiedFlow:
    """Of the velocity, noise less latents, on the straight line between both (arXiv:2209.03003), at times drawn by the
    logistic-normal density of mean 0 and standard deviation 1 (arXiv:2403.03206, sec. 3.1).

    Sigmas, the shares of noise, are those of diffusers' flow scheduler, shifted as the folder's scheduler says.

    Raises:
        BadInput: the base model predicts something else.
    """

    def __init__(self, config: Any) -> None:
        prediction = config.get("prediction_type", "flow_prediction")  # the flow scheduler's own has no such setting
        if prediction != "flow_prediction":
            raise BadInput(f"the base model predicts {prediction!r}; give one of flow_prediction")
        shift = config.get("shift", config.get("flow_shift", 1.0))
        schedule = FlowMatchEulerDiscreteScheduler(config.get("num_train_timesteps", 1000), shift=shift)
        self.timesteps: int = schedule.config.num_train_timesteps
        self.sigmas, self.steps = schedule.sigmas[: self.timesteps].flip(0), schedule.timesteps.flip(0)

    def draw_time(self, generator: torch.Generator) -> int:
        return int(torch.randn((), generator=generator).sigmoid() * self.timesteps)

    def told(self, times: Tensor) -> Tensor:
        return self.steps.to(times.device)[times]

    def add_noise(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        sigma = self.sigmas.to(times.device)[times].view(-1, 1, 1, 1)
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return noise - latents

    def clean_noise(self, latents: Tensor, predicted: Tensor) -> Tensor:
        """On the line the noise is x + (1 - sigma) v."""
        return latents + (1 - self.sigmas[0].item()) * predicted
