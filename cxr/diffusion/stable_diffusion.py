"""Stable Diffusion 1.x and 2.x (arXiv:2112.10752): CLIP reads the text, a UNet denoises an autoencoder's latents."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self, final

import numpy as np

from cxr.diffusion.config import AdapterConfig
from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.lora_files import Lora, read_lora
from cxr.diffusion.whole_model import check_folder
from cxr.errors import BadInput
from cxr.tables import batched

if TYPE_CHECKING:
    import torch
    from diffusers import DDPMScheduler, StableDiffusionPipeline
    from torch import Tensor, nn

PREDICTIONS = ("epsilon", "v_prediction")
TEXTS_AT_ONCE = 1024


@final  # so that mypy tells what is missing
class StableDiffusion(DiffusionModel):
    def __init__(self, pipe: "StableDiffusionPipeline") -> None:
        self.pipe, self.device = pipe, pipe.device

    @staticmethod
    def check_files(folder: Path) -> None:
        check_folder(folder)

    @staticmethod
    def check_size(folder: Path, size: int) -> None:
        factor = 2 ** (len(json.loads((folder / "vae" / "config.json").read_text())["block_out_channels"]) - 1)
        if size % factor:
            raise BadInput(f"--size {size}: the model's autoencoder needs a multiple of {factor}")

    @staticmethod
    def count_too_long(folder: Path, texts: Iterable[str]) -> int:
        from transformers import CLIPTokenizer

        clip = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        lengths = (clip(group, truncation=False, verbose=False).input_ids for group in batched(texts, TEXTS_AT_ONCE))
        return sum(len(ids) > clip.model_max_length for group in lengths for ids in group)

    @staticmethod
    def read_lora(folder: Path, path: Path) -> Lora:
        return read_lora(path, folder)

    @classmethod
    def load(cls, folder: Path, dtype: "torch.dtype", lora: Lora | None = None, lora_scale: float = 1.0) -> Self:
        from diffusers import StableDiffusionPipeline

        from cxr.diffusion.adapters import add_lora
        from cxr.diffusion.precision import own_device

        silence_libraries()
        pipe = StableDiffusionPipeline.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, safety_checker=None,
            feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
        pipe.set_progress_bar_config(disable=True)
        if lora:
            add_lora(pipe, lora, lora_scale)
        return cls(pipe.to(own_device()))

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        factor = self.pipe.vae_scale_factor
        return self.pipe.vae.config.latent_channels, height // factor, width // factor

    def speed_up(self, compile: bool) -> None:
        import torch

        if self.device.type == "cuda":
            self.pipe.unet.to(memory_format=torch.channels_last)
            self.pipe.vae.to(memory_format=torch.channels_last)
        if compile:
            self.pipe.unet = torch.compile(self.pipe.unet, fullgraph=True)

    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], noise: "Tensor", size: int, steps: int, guidance: float
    ) -> "Tensor":
        return self.solver(
            prompt=list(prompts), negative_prompt=list(negatives), latents=noise.to(self.device, self.pipe.unet.dtype),
            height=size, width=size, num_inference_steps=steps, guidance_scale=guidance, output_type="pt",
        ).images  # fmt: skip

    @cached_property
    def solver(self) -> "StableDiffusionPipeline":
        """The same networks with DPM-Solver++ (arXiv:2211.01095) in place of the folder's scheduler."""
        from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

        scheduler = DPMSolverMultistepScheduler.from_config(self.pipe.scheduler.config, algorithm_type="dpmsolver++")
        parts = {**self.pipe.components, "scheduler": scheduler}
        pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def make_trainable(self, config: AdapterConfig, lora_seed: Callable[[int], int]) -> "dict[str, nn.Parameter]":
        from cxr.diffusion.adapters import make_trainable

        return make_trainable(self.pipe, config, lora_seed)

    @property
    def networks(self) -> "tuple[nn.Module, ...]":
        return self.pipe.unet, self.pipe.text_encoder

    @property
    def text_is_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.pipe.text_encoder.parameters())

    @cached_property
    def noising(self) -> "DDPMScheduler":
        from diffusers import DDPMScheduler

        schedule = DDPMScheduler.from_config(self.pipe.scheduler.config)
        if (prediction := schedule.config.prediction_type) not in PREDICTIONS:
            raise BadInput(f"the base model predicts {prediction!r}; give one of {' or '.join(PREDICTIONS)}")
        return schedule

    @property
    def timesteps(self) -> int:
        return self.noising.config.num_train_timesteps

    def encode_images(self, pixels: np.ndarray) -> "Tensor":
        import torch

        from cxr.diffusion.latents import latent_moments

        with torch.autocast(self.device.type, enabled=False):
            return torch.stack(latent_moments(self.pipe.vae, pixels), 1)

    def encode_texts(self, texts: Sequence[str]) -> "Tensor":
        encoder = self.pipe.text_encoder
        ids = self.pipe.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(ids.to(encoder.device)).last_hidden_state

    def denoising_errors(
        self, moments: "Tensor", draw: "Tensor", noise: "Tensor", times: "Tensor", states: "Tensor"
    ) -> "Tensor":
        """Of the noise (arXiv:2006.11239, eq. 14) or the velocity (arXiv:2202.00512, app. D)."""
        mean, std = moments.unbind(1)
        latents = (mean + std * draw) * self.pipe.vae.config.scaling_factor
        epsilon = self.noising.config.prediction_type == "epsilon"
        target = noise if epsilon else self.noising.get_velocity(latents, noise, times)
        noisy = self.noising.add_noise(latents, noise, times)
        return (self.predict(noisy, times, states) - target).square().mean(dim=(1, 2, 3))

    def predict_clean_noise(self, moments: "Tensor", states: "Tensor") -> "Tensor":
        """Of a velocity v the noise is sigma x + alpha v (arXiv:2202.00512, app. D)."""
        latents = moments[:, 0] * self.pipe.vae.config.scaling_factor
        predicted = self.predict(latents, states.new_zeros(len(latents)).long(), states)
        if self.noising.config.prediction_type == "epsilon":
            return predicted
        kept = self.noising.alphas_cumprod[0].item()
        return (1 - kept) ** 0.5 * latents + kept**0.5 * predicted

    def predict(self, latents: "Tensor", times: "Tensor", states: "Tensor") -> "Tensor":
        """What the UNet says, float32 [B, C, h, w]."""
        unet = self.pipe.unet
        return unet(latents.to(unet.dtype), times, states.to(unet.dtype)).sample.float()

    def save(self, config: AdapterConfig, folder: Path) -> None:
        from cxr.diffusion.adapters import save_lora
        from cxr.weights import strip_local_paths

        if config.method == "lora":
            save_lora(self.pipe, config, folder)
        else:
            self.pipe.save_pretrained(folder, safe_serialization=True)
            strip_local_paths(folder)


def silence_libraries() -> None:
    """A job shows progress of its own, and tells itself what of a model does not fit."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    for logging in (of_diffusers, of_transformers):
        logging.disable_progress_bar()
        logging.set_verbosity_error()
