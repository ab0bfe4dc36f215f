"""Sana (arXiv:2410.10629): a Gemma reads the text, a transformer of linear attention says which way the picture lies,
in latents of an autoencoder that takes 32 pixels a side to one."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

from cxr.diffusion.frozen_texts import OneLongText
from cxr.diffusion.latent_diffusion import count_longer
from cxr.diffusion.layers import TEXT, TRANSFORMER
from cxr.diffusion.lora_files import Lora
from cxr.diffusion.stable_diffusion_3 import check_flow, refuse_other_channels
from cxr.diffusion.whole_model import SIDE, VAE, Config, Networks, check_folder
from cxr.errors import BadInput

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cxr.diffusion.noising import Noising

MOST_TOKENS = 300  # of a text; the instruction before it is not counted


@final
class Sana(OneLongText):
    denoiser = TRANSFORMER
    text_parts = (TEXT, "tokenizer")
    most_tokens = MOST_TOKENS

    @staticmethod
    def check_files(folder: Path) -> None:
        check_folder(folder, refuse_others, pass_through, check_flow)

    @staticmethod
    def count_too_long(folder: Path, texts: Iterable[str]) -> int:
        return count_longer(folder / "tokenizer", "GemmaTokenizer", MOST_TOKENS, texts)

    @classmethod
    def load(cls, folder: Path, dtype: "torch.dtype", lora: Lora | None = None, lora_scale: float = 1.0) -> Self:
        """In fp16 the autoencoder overflows, so it is in bf16 then, as its authors have it."""
        import torch

        model = super().load(folder, dtype, lora, lora_scale)
        if dtype == torch.float16:
            model.pipe.vae.to(torch.bfloat16)
        return model

    @cached_property
    def noising(self) -> "Noising":
        from cxr.diffusion.noising import RectifiedFlow

        return RectifiedFlow(self.pipe.scheduler.config)

    def read_text(self, reader: Any, text: str, negative: bool) -> "Sequence[Tensor]":
        """What is to be shown comes after diffusers' instruction to Gemma; what is not, and no text at all, alone."""
        instruction = None if negative or not text else instruction_of(reader)
        hidden, mask, _, _ = reader.encode_prompt(
            text, do_classifier_free_guidance=False, complex_human_instruction=instruction
        )
        return hidden, mask.to(hidden.dtype)

    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], noise: "Tensor", size: int, steps: int, guidance: float
    ) -> "Tensor":
        return self.pipe(
            **self.pipeline_texts(prompts, negatives), latents=noise.to(self.device), height=size, width=size,
            num_inference_steps=steps, guidance_scale=guidance, use_resolution_binning=False, output_type="pt",
        ).images  # fmt: skip

    def predict(self, latents: "Tensor", times: "Tensor", states: "Tensor") -> "Tensor":
        transformer, (hidden, mask) = self.pipe.transformer, self.unpack(states)
        steps = self.noising.told(times) * transformer.config.timestep_scale
        return transformer(
            latents.to(transformer.dtype), hidden, steps, encoder_attention_mask=mask
        ).sample.float()  # fmt: skip


def instruction_of(pipe: Any) -> Any:
    """What diffusers' pipeline tells Gemma before a text, where its caller says nothing else."""
    return inspect.signature(type(pipe).__call__).parameters["complex_human_instruction"].default


def refuse_others(folder: Path, configs: Mapping[str, Config]) -> None:
    """What calls itself Sana, and has the networks of two models."""
    own, text = {"in_channels": 32, **configs[TRANSFORMER]}, configs[TEXT]
    refuse_other_channels(folder, own, {"latent_channels": 32, **configs[VAE]})
    if (width := own.get("caption_channels", 2304)) != text.get("hidden_size", 2304):
        raise BadInput(
            f"{folder}: its transformer reads texts {width!r} wide, its text encoder writes "
            f"{text.get('hidden_size', 2304)!r}; they are of two models, fetch one whole model"
        )


def pass_through(networks: Networks) -> None:
    """A picture and noise through autoencoder and transformer: shapes alone, nothing is computed."""
    import torch

    with torch.device("meta"), torch.no_grad():
        vae, transformer = networks[VAE], networks[TRANSFORMER]
        latents = vae.encode(torch.zeros(1, 3, SIDE, SIDE)).latent
        hidden = torch.zeros(1, MOST_TOKENS, transformer.config.caption_channels)
        velocity = transformer(latents, hidden, torch.zeros(1)).sample
        if velocity.shape != latents.shape or vae.decode(velocity).sample.shape[1] != 3:
            raise ValueError("the transformer gives another shape than it takes")
