"""Stable Diffusion 3 and 3.5 (arXiv:2403.03206): two CLIPs and a T5 read the text, a transformer of both streams says
which way the picture lies."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from cxr.diffusion.frozen_texts import FrozenTexts
from cxr.diffusion.latent_diffusion import count_longer, unpack
from cxr.diffusion.layers import TEXT, TEXT_2, TRANSFORMER, read_json
from cxr.diffusion.whole_model import SIDE, VAE, Config, Networks, check_folder, check_steps
from cxr.errors import BadInput
from cxr.weights.families import KNOWN_MODELS
from cxr.weights.kinds import INDEX

if TYPE_CHECKING:
    from torch import Tensor

    from cxr.diffusion.noising import Noising

T5 = "text_encoder_3"
MOST_TOKENS = 256  # of T5, as diffusers' pipeline cuts texts


@final
class StableDiffusion3(FrozenTexts):
    denoiser = TRANSFORMER
    text_parts = (TEXT, TEXT_2, T5, "tokenizer", "tokenizer_2", "tokenizer_3")
    without = {"feature_extractor": None, "image_encoder": None}  # noqa: RUF012

    @staticmethod
    def check_files(folder: Path) -> None:
        check_folder(folder, refuse_others, pass_through, check_flow)

    @staticmethod
    def count_too_long(folder: Path, texts: Iterable[str]) -> int:
        """By T5, or by CLIP in a folder without T5."""
        if (read_json(folder / INDEX).get(T5) or [None])[0]:
            return count_longer(folder / "tokenizer_3", "T5Tokenizer", MOST_TOKENS, texts)
        return count_longer(folder / "tokenizer", "CLIPTokenizer", None, texts)

    @cached_property
    def noising(self) -> "Noising":
        from cxr.diffusion.noising import RectifiedFlow

        return RectifiedFlow(self.pipe.scheduler.config)

    def read_text(self, reader: Any, text: str, negative: bool) -> "Sequence[Tensor]":
        hidden, _, pooled, _ = reader.encode_prompt(text, text, text, do_classifier_free_guidance=False)
        return hidden, pooled

    def unpack(self, states: "Tensor") -> "tuple[Tensor, Tensor]":
        """What the transformer reads, [B, T, width], and the gist, [B, width]."""
        config = self.pipe.transformer.config
        shapes = [(-1, config.joint_attention_dim), (config.pooled_projection_dim,)]
        hidden, pooled = unpack(states.to(self.pipe.transformer.dtype), shapes)
        return hidden, pooled

    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], noise: "Tensor", size: int, steps: int, guidance: float
    ) -> "Tensor":
        hidden, pooled = self.unpack(self.encode_texts(prompts))
        no_hidden, no_pooled = self.unpack(self.encode_texts(negatives, negative=True))
        return self.pipe(
            prompt_embeds=hidden, pooled_prompt_embeds=pooled, negative_prompt_embeds=no_hidden,
            negative_pooled_prompt_embeds=no_pooled, latents=noise.to(self.device), height=size, width=size,
            num_inference_steps=steps, guidance_scale=guidance, output_type="pt",
        ).images  # fmt: skip

    def predict(self, latents: "Tensor", times: "Tensor", states: "Tensor") -> "Tensor":
        transformer, (hidden, pooled) = self.pipe.transformer, self.unpack(states)
        steps = self.noising.told(times)
        return transformer(latents.to(transformer.dtype), hidden, pooled, steps).sample.float()


def refuse_others(folder: Path, configs: Mapping[str, Config]) -> None:
    """What calls itself Stable Diffusion 3, and has another family's networks, or those of two models."""
    own, vae = configs[TRANSFORMER], configs[VAE]
    refuse_other_channels(folder, own, vae)
    pooled = sum(configs[part].get("projection_dim", 512) for part in (TEXT, TEXT_2))
    widths = own.get("pooled_projection_dim", 2048), own.get("joint_attention_dim", 4096)
    wide = configs[T5].get("d_model", 512) if T5 in configs else widths[1]
    if (pooled, wide) != widths:
        raise BadInput(
            f"{folder}: its transformer reads texts {widths[1]!r} and {widths[0]!r} wide, its text encoders write "
            f"{wide!r} and {pooled!r}; they are of two models, fetch one whole model"
        )


def refuse_other_channels(folder: Path, transformer: Config, vae: Config) -> None:
    channels, latent = transformer.get("in_channels", 16), vae.get("latent_channels", 4)
    if channels != latent:
        raise BadInput(
            f"{folder}: its transformer takes {channels!r} channels and its autoencoder has {latent!r}; {KNOWN_MODELS}"
        )


def check_flow(config: Config) -> None:
    """Raises unless training and sampling can have their sigmas of the scheduler's configuration."""
    import diffusers

    from cxr.diffusion.noising import RectifiedFlow

    RectifiedFlow(config)
    check_steps(getattr(diffusers, config["_class_name"]).from_config(config))


def pass_through(networks: Networks) -> None:
    """A picture and noise through autoencoder and transformer: shapes alone, nothing is computed."""
    import torch

    with torch.device("meta"), torch.no_grad():
        vae, transformer = networks[VAE], networks[TRANSFORMER]
        config = transformer.config
        latents = vae.encode(torch.zeros(1, 3, SIDE, SIDE)).latent_dist.mean
        told = torch.zeros(1, 77, config.joint_attention_dim), torch.zeros(1, config.pooled_projection_dim)
        velocity = transformer(latents, *told, torch.zeros(1)).sample
        if velocity.shape != latents.shape or vae.decode(velocity).sample.shape[1] != 3:
            raise ValueError("the transformer gives another shape than it takes")
