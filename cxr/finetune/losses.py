"""The training objective: what a batch is encoded to, what is remembered of that, and how wrong the model is."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from cxr.diffusion.family import DiffusionModel
from cxr.finetune.batches import Batch, CaptionedImages

Key = TypeVar("Key", bound=Hashable)


class TensorCache(Generic[Key]):
    """A function from keys to one tensor each, [len(keys), ...], that keeps its results where `keep` says so: in main
    memory, as a hundred thousand captions' states would fill a GPU.

    What is kept is made alone: in company the last bits would depend on who else was missing, and so on where a killed
    training went on.
    """

    def __init__(self, make: Callable[[list[Key]], Tensor], keep: bool) -> None:
        self.make, self.keep = make, keep
        self.kept: dict[Key, Tensor] = {}

    def __call__(self, keys: Sequence[Key]) -> Tensor:
        if not self.keep:
            return self.make(list(keys))
        for key in keys:
            if key not in self.kept:
                self.kept[key] = self.make([key])[0].cpu()
        return torch.stack([self.kept[key] for key in keys])


class Objective:
    """Everything between a batch of some pictures and its errors.

    Latents are kept as moments and drawn anew from them each time, so a kept picture is as random as one encoded again;
    mirrored pictures are kept beside the others. Text states are kept where no gradient goes through the encoder.
    """

    def __init__(self, model: DiffusionModel, images: CaptionedImages, cache: bool, precision: torch.dtype) -> None:
        self.model, self.images, self.precision = model, images, precision
        self.moments = TensorCache(self.encode, cache)
        self.states = TensorCache(model.encode_texts, cache and model.text_is_frozen)
        if self.states.keep:
            self.states.kept |= model.encode_ahead({*images.captions, ""})  # "": of a caption that is dropped

    def latent_shape(self) -> tuple[int, int, int]:
        return self.model.latent_shape(*self.images.pixels.shape[1:])

    def errors(self, batch: Batch) -> Tensor:
        """Mean squared error of each row, float32 [B]."""
        device = self.model.device
        moments = self.moments(list(zip(batch.rows, batch.flipped, strict=True))).to(device)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            states = self.states(batch.captions).to(device)
            draw, noise, times = (tensor.to(device) for tensor in (batch.posterior, batch.noise, batch.times))
            return self.model.denoising_errors(moments, draw, noise, times, states)

    def encode(self, keys: list[tuple[int, bool]]) -> Tensor:
        """Moments of (row, mirrored) keys: float32 [B, 2, C, h, w]."""
        pixels = self.images.pixels[[row for row, _ in keys]]
        flips = [flipped for _, flipped in keys]
        pixels[flips] = pixels[flips][..., ::-1]
        return self.model.encode_images(pixels)
