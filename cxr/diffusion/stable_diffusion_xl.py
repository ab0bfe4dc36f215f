"""Stable Diffusion XL (arXiv:2307.01952): two CLIPs read the text, and the UNet is told its gist and the picture's
size beside it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from cxr.diffusion.latent_diffusion import LatentDiffusion, count_longer, pack, unpack
from cxr.diffusion.layers import TEXT, TEXT_2, UNET
from cxr.diffusion.stable_diffusion import refuse_other_channels
from cxr.diffusion.whole_model import SIDE, VAE, Config, Networks, check_denoising, check_folder
from cxr.errors import BadInput
from cxr.weights.families import KNOWN_MODELS

if TYPE_CHECKING:
    from torch import Tensor

TIME_IDS = 6  # original size, crop and target size, two numbers each


@final
class StableDiffusionXL(LatentDiffusion):
    denoiser = UNET
    without = {"feature_extractor": None, "image_encoder": None, "add_watermarker": False}  # noqa: RUF012

    @staticmethod
    def check_files(folder: Path) -> None:
        check_folder(folder, refuse_others, pass_through, check_denoising)

    @staticmethod
    def count_too_long(folder: Path, texts: Iterable[str]) -> int:
        return count_longer(folder / "tokenizer", "CLIPTokenizer", None, texts)

    def encode_texts(self, texts: Sequence[str]) -> "Tensor":
        """An empty text is all zeros where the model was trained so, as its pipeline has it."""
        hidden, _, pooled, _ = self.pipe.encode_prompt(list(texts), do_classifier_free_guidance=False)
        states = pack([hidden, pooled])
        if self.pipe.config.force_zeros_for_empty_prompt:
            states = states * states.new_tensor([bool(text) for text in texts])[:, None]
        return states

    def unpack(self, states: "Tensor") -> "tuple[Tensor, Tensor]":
        """What the UNet reads, [B, T, width], and the gist, [B, width of the second encoder]."""
        config = self.pipe.unet.config
        hidden, pooled = unpack(
            states.to(self.pipe.unet.dtype),
            [(-1, config.cross_attention_dim), (self.pipe.text_encoder_2.config.projection_dim,)],
        )
        return hidden, pooled

    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], noise: "Tensor", size: int, steps: int, guidance: float
    ) -> "Tensor":
        (hidden, pooled), (no_hidden, no_pooled) = (
            self.unpack(self.encode_texts(texts)) for texts in (prompts, negatives)
        )
        return self.solver(
            prompt_embeds=hidden, pooled_prompt_embeds=pooled, negative_prompt_embeds=no_hidden,
            negative_pooled_prompt_embeds=no_pooled, latents=noise.to(self.device, self.pipe.unet.dtype),
            height=size, width=size, num_inference_steps=steps, guidance_scale=guidance, output_type="pt",
        ).images  # fmt: skip

    def predict(self, latents: "Tensor", times: "Tensor", states: "Tensor") -> "Tensor":
        unet, (hidden, pooled) = self.pipe.unet, self.unpack(states)
        height, width = (side * self.pipe.vae_scale_factor for side in latents.shape[2:])
        sizes = latents.new_tensor([height, width, 0, 0, height, width], dtype=unet.dtype).expand(len(latents), -1)
        conditions = {"text_embeds": pooled, "time_ids": sizes}
        return unet(latents.to(unet.dtype), times, hidden, added_cond_kwargs=conditions).sample.float()


def refuse_others(folder: Path, configs: Mapping[str, Config]) -> None:
    """What calls itself Stable Diffusion XL, and has another family's networks."""
    unet, vae, texts = configs[UNET], configs[VAE], [configs[TEXT], configs[TEXT_2]]
    if (kind := unet.get("addition_embed_type")) != "text_time" or unet.get("time_cond_proj_dim") is not None:
        raise BadInput(f"{folder}: its UNet is of another family (addition_embed_type: {kind!r}); {KNOWN_MODELS}")
    if vae.get("latents_mean") is not None:
        raise BadInput(f"{folder}: its latents are shifted by a mean, as of another family; {KNOWN_MODELS}")
    refuse_other_channels(folder, unet, vae)
    widths = [text.get("hidden_size", 512) for text in texts]
    pooled = texts[1].get("projection_dim", 512)
    inputs, time_width = unet.get("projection_class_embeddings_input_dim"), unet.get("addition_time_embed_dim")
    if (width := unet.get("cross_attention_dim", 1280)) != sum(widths) or inputs != pooled + TIME_IDS * (
        time_width or 0
    ):
        raise BadInput(
            f"{folder}: its UNet reads texts {width!r} wide and is told {inputs!r} numbers, its text encoders write "
            f"{sum(widths)} and {pooled!r}; they are of two models, fetch one whole model"
        )


def pass_through(networks: Networks) -> None:
    """A picture, a text and noise through all: shapes alone, nothing is computed."""
    import torch

    with torch.device("meta"), torch.no_grad():
        vae, unet = networks[VAE], networks[UNET]
        ids = torch.zeros(1, 77, dtype=torch.long)
        first, second = (networks[part](ids, output_hidden_states=True) for part in (TEXT, TEXT_2))
        hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        conditions = {"text_embeds": second.text_embeds, "time_ids": torch.zeros(1, TIME_IDS)}
        latents = vae.encode(torch.zeros(1, 3, SIDE, SIDE)).latent_dist.mean
        noise = unet(latents, torch.zeros(1), hidden, added_cond_kwargs=conditions).sample
        if noise.shape != latents.shape or vae.decode(noise).sample.shape[1] != 3:
            raise ValueError("the UNet gives another shape than it takes")
