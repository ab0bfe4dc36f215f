"""PixArt-Sigma (arXiv:2403.04692): a T5 reads the text, a transformer predicts the noise; how sure it is of that, which
it was trained to say too, no solver here asks."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from cxr.diffusion.frozen_texts import OneLongText
from cxr.diffusion.latent_diffusion import count_longer
from cxr.diffusion.layers import TEXT, TRANSFORMER
from cxr.diffusion.whole_model import SIDE, VAE, Config, Networks, check_denoising, check_folder
from cxr.errors import BadInput
from cxr.weights.families import KNOWN_MODELS

if TYPE_CHECKING:
    from torch import Tensor

MOST_TOKENS = 300
MICRO_CONDITIONS = {"resolution": None, "aspect_ratio": None}  # of PixArt-Alpha, which its successor goes without


@final
class PixArtSigma(OneLongText):
    denoiser = TRANSFORMER
    text_parts = (TEXT, "tokenizer")
    most_tokens = MOST_TOKENS

    @staticmethod
    def check_files(folder: Path) -> None:
        check_folder(folder, refuse_others, pass_through, check_denoising)

    @staticmethod
    def count_too_long(folder: Path, texts: Iterable[str]) -> int:
        return count_longer(folder / "tokenizer", "T5Tokenizer", MOST_TOKENS, texts)

    def read_text(self, reader: Any, text: str, negative: bool) -> "Sequence[Tensor]":
        hidden, mask, _, _ = reader.encode_prompt(text, do_classifier_free_guidance=False, clean_caption=False)
        return hidden, mask.to(hidden.dtype)

    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], noise: "Tensor", size: int, steps: int, guidance: float
    ) -> "Tensor":
        return self.solver(
            **self.pipeline_texts(prompts, negatives), latents=noise.to(self.device, self.pipe.transformer.dtype),
            height=size, width=size, num_inference_steps=steps, guidance_scale=guidance, use_resolution_binning=False,
            output_type="pt",
        ).images  # fmt: skip

    def predict(self, latents: "Tensor", times: "Tensor", states: "Tensor") -> "Tensor":
        transformer, (hidden, mask) = self.pipe.transformer, self.unpack(states)
        predicted = transformer(
            latents.to(transformer.dtype), hidden, times, encoder_attention_mask=mask,
            added_cond_kwargs=MICRO_CONDITIONS,
        ).sample  # fmt: skip
        return predicted[:, : latents.shape[1]].float()


def refuse_others(folder: Path, configs: Mapping[str, Config]) -> None:
    """What calls itself PixArt-Sigma, and has another family's networks, or those of two models."""
    own, latent, text = configs[TRANSFORMER], configs[VAE].get("latent_channels", 4), configs[TEXT]
    channels = own.get("in_channels", 4), own.get("out_channels", 8)
    if channels not in ((latent, latent), (latent, 2 * latent)) or own.get("use_additional_conditions"):
        raise BadInput(
            f"{folder}: its transformer is of another family (channels {channels}, of the autoencoder {latent!r}, "
            f"use_additional_conditions {own.get('use_additional_conditions')!r}); {KNOWN_MODELS}"
        )
    if (width := own.get("caption_channels")) != text.get("d_model", 512):
        raise BadInput(
            f"{folder}: its transformer reads texts {width!r} wide, its text encoder writes "
            f"{text.get('d_model', 512)!r}; they are of two models, fetch one whole model"
        )


def pass_through(networks: Networks) -> None:
    """A picture and noise through autoencoder and transformer: shapes alone, nothing is computed."""
    import torch

    with torch.device("meta"), torch.no_grad():
        vae, transformer = networks[VAE], networks[TRANSFORMER]
        latents = vae.encode(torch.zeros(1, 3, SIDE, SIDE)).latent_dist.mean
        hidden = torch.zeros(1, MOST_TOKENS, transformer.config.caption_channels)
        noise = transformer(latents, hidden, torch.zeros(1), added_cond_kwargs=MICRO_CONDITIONS).sample
        noise = noise[:, : latents.shape[1]]
        if noise.shape != latents.shape or vae.decode(noise).sample.shape[1] != 3:
            raise ValueError("the transformer gives another shape than it takes")
