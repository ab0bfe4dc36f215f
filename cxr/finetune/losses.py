"""The training objective: how far the UNet's answer is from the noise, or the velocity, that it was asked for."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from cxr.diffusion.latents import latent_moments
from cxr.errors import BadInput
from cxr.finetune.batches import Batch, Pictures

Key = TypeVar("Key", bound=Hashable)
PREDICTIONS = ("epsilon", "v_prediction")


class Remembered(Generic[Key]):
    """A function from keys to one tensor each, [len(keys), ...], that keeps its results where `keep` says so: in main
    memory, as a hundred thousand captions' states would fill a GPU."""

    def __init__(self, make: Callable[[list[Key]], Tensor], keep: bool) -> None:
        self.make, self.keep = make, keep
        self.kept: dict[Key, Tensor] = {}

    def __call__(self, keys: Sequence[Key]) -> Tensor:
        if not self.keep:
            return self.make(list(keys))
        if missing := [key for key in dict.fromkeys(keys) if key not in self.kept]:
            self.kept.update(zip(missing, self.make(missing).cpu(), strict=True))
        return torch.stack([self.kept[key] for key in keys])


class Objective:
    """Everything between a batch of some pictures and its errors.

    Latents are kept as moments and drawn anew from them each time, so a kept picture is as random as one encoded again;
    mirrored pictures are kept beside the others. Text states are kept where no gradient goes through the encoder.

    Raises:
        BadInput: the base model predicts neither noise nor velocity.
    """

    def __init__(self, pipe: StableDiffusionPipeline, pictures: Pictures, cache: bool, precision: torch.dtype) -> None:
        self.pipe, self.pictures, self.precision = pipe, pictures, precision
        self.schedule = DDPMScheduler.from_config(pipe.scheduler.config)
        self.prediction = self.schedule.config.prediction_type
        if self.prediction not in PREDICTIONS:
            raise BadInput(f"the base model predicts {self.prediction!r}; give one of {' or '.join(PREDICTIONS)}")
        frozen = not any(p.requires_grad for p in pipe.text_encoder.parameters())
        self.moments = Remembered(self.encode, cache)
        self.states = Remembered(self.read, cache and frozen)

    def latent_shape(self) -> tuple[int, int, int]:
        height, width = (side // self.pipe.vae_scale_factor for side in self.pictures.pixels.shape[1:])
        return self.pipe.vae.config.latent_channels, height, width

    def errors(self, batch: Batch) -> Tensor:
        """Mean squared error of each row, float32 [B]."""
        device = self.pipe.device
        mean, std = self.moments(list(zip(batch.rows, batch.flipped, strict=True))).to(device).unbind(1)
        latents = (mean + std * batch.posterior.to(device)) * self.pipe.vae.config.scaling_factor
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            hidden = self.states(batch.captions).to(device)
            noise, times = batch.noise.to(device), batch.times.to(device)
            return squared_errors(self.pipe.unet, self.schedule, latents, noise, times, hidden)

    @torch.no_grad()
    def encode(self, keys: list[tuple[int, bool]]) -> Tensor:
        """Moments of (row, mirrored) keys, always in full precision: float32 [B, 2, C, h, w]."""
        pixels = self.pictures.pixels[[row for row, _ in keys]]
        flips = [flipped for _, flipped in keys]
        pixels[flips] = pixels[flips][..., ::-1]
        with torch.autocast(self.pipe.device.type, enabled=False):
            return torch.stack(latent_moments(self.pipe.vae, pixels), 1)

    def read(self, captions: list[str]) -> Tensor:
        """The text encoder's states, [B, length, width], cut or padded to its length."""
        encoder, tokenizer = self.pipe.text_encoder, self.pipe.tokenizer
        ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(ids.to(encoder.device)).last_hidden_state


def squared_errors(
    unet: UNet2DConditionModel, schedule: DDPMScheduler, latents: Tensor, noise: Tensor, times: Tensor, hidden: Tensor
) -> Tensor:
    """Mean squared error of each row's noise (arXiv:2006.11239, eq. 14) or velocity (arXiv:2202.00512, app. D).

    Args:
        latents: scaled, float32 [B, C, h, w], as `noise`.
        times: int64 [B], of the schedule.
        hidden: text states [B, length, width].
    """
    epsilon = schedule.config.prediction_type == "epsilon"
    target = noise if epsilon else schedule.get_velocity(latents, noise, times)
    noisy = schedule.add_noise(latents, noise, times)
    predicted = unet(noisy.to(unet.dtype), times, hidden.to(unet.dtype)).sample
    return (predicted.float() - target).square().mean(dim=(1, 2, 3))
