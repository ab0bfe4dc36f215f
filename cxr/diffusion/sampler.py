"""Prompts and seeds in, gray pictures out; the same seed always gives the same picture."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor, nn

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.layers import UNET
from cxr.diffusion.lora_files import Change, Lora, read_lora
from cxr.errors import BadInput

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def pick_dtype(precision: str, device: str) -> torch.dtype:
    return DTYPES[("fp16" if device == "cuda" else "fp32") if precision == "auto" else precision]


def load_pipeline(model: Path, lora: Path | None, config: SamplerConfig) -> StableDiffusionPipeline:
    """The pipeline of a local diffusers folder on this process's device.

    The safety checker stays off: it was made for photographs and blanks X-rays.

    Raises:
        BadInput: the LoRA is none, or was made for another base model.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = StableDiffusionPipeline.from_pretrained(
        model,
        torch_dtype=pick_dtype(config.precision, device),
        use_safetensors=True,
        local_files_only=True,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    if lora:
        add_lora(pipe, read_lora(lora, model), config.lora_scale)
    pipe.to(device)
    if device == "cuda":
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    if config.compile:
        pipe.unet = torch.compile(pipe.unet, fullgraph=True)
    return pipe


@torch.no_grad()
def add_lora(pipe: StableDiffusionPipeline, lora: Lora, scale: float) -> None:
    """Adds the LoRA to the weights of every layer it names, with the rounding of peft's `merge` on a CPU.

    Raises:
        BadInput: a layer is not in the pipeline as it was in its files, or the result is no number.
    """
    for change, down, up in lora.tensors():
        try:
            weight: torch.Tensor = layer_of(pipe, change).get_parameter("weight")
        except AttributeError:
            raise BadInput(f"{lora.path}: {change.layer} is not in this base model; give the base it is for") from None
        halves = (half.to(weight.dtype).float().flatten(1) for half in (up, down))  # [outputs, rank], [rank, inputs]
        added = (next(halves) @ next(halves)) * (change.strength * scale)
        weight += added.to(weight.dtype).reshape(weight.shape)
        if not torch.isfinite(weight).all():
            raise BadInput(f"{lora.path}: makes {change.layer} values that are no numbers; its training failed")


def layer_of(pipe: StableDiffusionPipeline, change: Change) -> nn.Module:
    if change.part == UNET:
        return pipe.unet.get_submodule(change.layer)
    return getattr(pipe.text_encoder, "text_model", pipe.text_encoder).get_submodule(change.layer)


class Sampler:
    """Turns batches of prompts into pictures, with the networks of a pipeline and DPM-Solver++."""

    def __init__(self, pipe: StableDiffusionPipeline, config: SamplerConfig) -> None:
        solver = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, algorithm_type="dpmsolver++")
        self.pipe = StableDiffusionPipeline(**{**pipe.components, "scheduler": solver}, requires_safety_checker=False)
        self.pipe.set_progress_bar_config(disable=True)
        self.config = config
        self.device = self.pipe.device

    @classmethod
    def load(cls, model: Path, lora: Path | None, config: SamplerConfig) -> "Sampler":
        """From a local diffusers folder. On a CPU it takes as many threads as the recipe says."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        if not torch.cuda.is_available():
            torch.set_num_threads(config.threads)
        return cls(load_pipeline(model, lora, config), config)

    def __call__(self, prompts: Sequence[str], negatives: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """uint8 [len(prompts), size, size]; any number of rows, sampled in whole batches, so that bytes stay."""
        batch = self.config.batch
        parts = [
            self.sample(prompts[i : i + batch], negatives[i : i + batch], seeds[i : i + batch])
            for i in range(0, len(prompts), batch)
        ]
        return np.concatenate(parts)

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], seeds: Sequence[int], steps: int | None = None
    ) -> np.ndarray:
        """One batch, padded with its first row in compute and trimmed in the result."""
        padding = self.config.batch - len(prompts)
        rows = [*range(len(prompts)), *[0] * padding]
        pixels = self.pipe(
            prompt=[prompts[i] for i in rows],
            negative_prompt=[negatives[i] for i in rows],
            latents=self.noise([seeds[i] for i in rows]),
            height=self.config.size,
            width=self.config.size,
            num_inference_steps=steps or self.config.steps,
            guidance_scale=self.config.guidance,
            output_type="pt",
        ).images
        return to_gray(pixels)[: len(prompts)]

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """The starting latents [B, C, h, w]: each from a generator of its own, drawn on the CPU in float32."""
        shape = (self.pipe.unet.config.in_channels, *[self.config.size // self.pipe.vae_scale_factor] * 2)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(drawn).to(self.device, self.pipe.unet.dtype)

    def seconds_an_image(self) -> float:
        """An estimate from two short batches: every step costs the same, and the rest is paid once."""
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
