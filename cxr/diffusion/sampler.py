"""Prompts and seeds in, gray pictures out; the same seed always gives the same picture."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.family import DiffusionModel, family_of
from cxr.diffusion.precision import own_device, pick_dtype


class Sampler:
    """Turns batches of prompts into pictures, by a model that may still be in training."""

    def __init__(self, model: DiffusionModel, config: SamplerConfig) -> None:
        self.model, self.config = model, config

    @classmethod
    def load(cls, folder: Path, lora: Path | None, config: SamplerConfig) -> "Sampler":
        """From a local model folder. On a CPU it takes as many threads as the recipe says.

        Raises:
            BadInput: the LoRA is none, or was made for another base model.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        device, family = own_device(), family_of(folder)
        if device.type == "cpu":
            torch.set_num_threads(config.threads)
        change = family.read_lora(folder, lora) if lora else None
        model = family.load(folder, pick_dtype(config.precision, "sample", device), change, config.lora_scale)
        model.speed_up(config.compile, config.cuda_graphs)
        return cls(model, config)

    def __call__(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str],
        seeds: Sequence[int],
        *,
        advance: Callable[[int], object] = lambda count: None,
    ) -> np.ndarray:
        """uint8 [len(prompts), size, size]; any number of rows, sampled in whole batches, so that bytes stay; `advance`
        hears the pictures of each."""
        self.model.encode_ahead(prompts, negatives)
        parts = []
        for start in range(0, len(prompts), self.config.batch):
            part = slice(start, start + self.config.batch)
            parts.append(self.sample(prompts[part], negatives[part], seeds[part]))
            advance(len(parts[-1]))
        return np.concatenate(parts)

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], seeds: Sequence[int], steps: int | None = None
    ) -> np.ndarray:
        """One batch, padded with its first row in compute and trimmed in the result."""
        config = self.config
        rows = [*range(len(prompts)), *[0] * (config.batch - len(prompts))]
        generators = [torch.Generator().manual_seed(seeds[i]) for i in rows]
        how = self.model.sample if config.solver == "dpm" else partial(self.model.sample_by, config.solver, generators)
        pixels = how(
            [prompts[i] for i in rows], [negatives[i] for i in rows], self.noise(generators),
            config.size, steps or config.steps, config.guidance,
        )  # fmt: skip
        return to_gray(pixels)[: len(prompts)]

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """The starting latents [B, C, h, w]: each from a generator of its own, drawn on the CPU in float32."""
        shape = self.model.latent_shape(self.config.size, self.config.size)
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    def seconds_an_image(self) -> float:
        """An estimate from two short batches: every step costs the same, and the rest is paid once."""
        self.model.encode_ahead(["chest X-ray"], [""])
        seconds = []
        for steps in (1, 1, 2):  # the first one warms up
            start = time.perf_counter()
            self.sample(["chest X-ray"] * self.config.batch, [""] * self.config.batch, range(self.config.batch), steps)
            seconds.append(time.perf_counter() - start)
        _, one, two = seconds
        return (one + (self.config.steps - 1) * max(two - one, 0.0)) / self.config.batch


def to_gray(pixels: Tensor) -> np.ndarray:
    """float [N, 3, H, W] in [0, 1] to uint8 [N, H, W], the mean of the channels rounded to the nearest level."""
    if not torch.isfinite(pixels).all():
        raise FloatingPointError("the sampler produced values that are not numbers")
    return pixels.float().mean(dim=1).mul(255).round().to(torch.uint8).cpu().numpy()
