"""Stable Diffusion 1.x and 2.x (arXiv:2112.10752): CLIP reads the text, a UNet denoises an autoencoder's latents."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from cxr.diffusion.config import Solver
from cxr.diffusion.latent_diffusion import LatentDiffusion, count_longer
from cxr.diffusion.layers import TEXT, UNET
from cxr.diffusion.whole_model import SIDE, VAE, Config, Networks, check_denoising, check_folder
from cxr.errors import BadInput
from cxr.weights.families import KNOWN_MODELS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_OF_OTHERS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim", "time_cond_proj_dim")


@final  # so that mypy tells what is missing
class StableDiffusion(LatentDiffusion):
    denoiser = UNET
    without = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}  # noqa: RUF012

    @staticmethod
    def check_files(folder: Path) -> None:
        check_folder(folder, refuse_others, pass_through, check_denoising)

    @staticmethod
    def count_too_long(folder: Path, texts: Iterable[str]) -> int:
        return count_longer(folder / "tokenizer", "CLIPTokenizer", None, texts)

    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], noise: "Tensor", size: int, steps: int, guidance: float
    ) -> "Tensor":
        return self.sample_by("dpm", (), prompts, negatives, noise, size, steps, guidance)

    def sample_by(
        self, solver: Solver, generators: "Sequence[torch.Generator]", prompts: Sequence[str], negatives: Sequence[str],
        noise: "Tensor", size: int, steps: int, guidance: float,
    ) -> "Tensor":  # fmt: skip
        return self.with_solver(solver)(
            prompt=list(prompts), negative_prompt=list(negatives), latents=noise.to(self.device, self.pipe.unet.dtype),
            height=size, width=size, num_inference_steps=steps, guidance_scale=guidance, output_type="pt",
            generator=list(generators) or None,
        ).images  # fmt: skip

    def encode_texts(self, texts: Sequence[str]) -> "Tensor":
        encoder = self.pipe.text_encoder
        ids = self.pipe.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(ids.to(encoder.device)).last_hidden_state

    def predict(self, latents: "Tensor", times: "Tensor", states: "Tensor") -> "Tensor":
        unet = self.pipe.unet
        return unet(latents.to(unet.dtype), times, states.to(unet.dtype)).sample.float()


def refuse_others(folder: Path, configs: Mapping[str, Config]) -> None:
    """What calls itself Stable Diffusion 1.x or 2.x, and has another family's networks."""
    unet, text = configs[UNET], configs[TEXT]
    if strange := [name for name in _OF_OTHERS if unet.get(name) is not None]:
        raise BadInput(f"{folder}: its UNet is of another family ({strange[0]}: {unet[strange[0]]!r}); {KNOWN_MODELS}")
    refuse_other_channels(folder, unet, configs[VAE])
    if (width := unet.get("cross_attention_dim", 1280)) != text.get("hidden_size", 512):
        raise BadInput(
            f"{folder}: its UNet reads texts {width!r} wide, its text encoder writes {text.get('hidden_size', 512)!r}; "
            "they are of two models, fetch one whole model"
        )


def refuse_other_channels(folder: Path, unet: Config, vae: Config) -> None:
    channels, latent = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if channels != latent or unet.get("out_channels", 4) != latent:
        what = " (inpainting)" if channels == 9 else ""
        raise BadInput(
            f"{folder}: its UNet takes {channels!r} channels{what} and its autoencoder has {latent!r}; {KNOWN_MODELS}"
        )


def pass_through(networks: Networks) -> None:
    """A picture, a text and noise through all three: shapes alone, nothing is computed."""
    import torch

    with torch.device("meta"), torch.no_grad():
        vae, unet, text = networks[VAE], networks[UNET], networks[TEXT]
        hidden = text(torch.zeros(1, 77, dtype=torch.long)).last_hidden_state
        latents = vae.encode(torch.zeros(1, 3, SIDE, SIDE)).latent_dist.mean
        noise = unet(latents, torch.zeros(1), hidden).sample
        if noise.shape != latents.shape or vae.decode(noise).sample.shape[1] != 3:
            raise ValueError("the UNet gives another shape than it takes")
