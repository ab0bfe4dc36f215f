"""A pipeline of each family with random weights, below 5 MB: built from the family's own classes, saved as diffusers
does. Their weights are the same in every session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from cxr.pretrain.config import TextConfig
from cxr.pretrain.text import sample_captions, train_tokenizer

WIDTH, LAYERS, HEADS = 16, 2, 2  # of text encoders


def save_family(name: str, folder: Path) -> None:
    """The random pipeline of that class name; safetensors in several shards where a network has more than 100 kB."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe = FAMILIES[name]()
    pipe.save_pretrained(folder, safe_serialization=True, max_shard_size="200KB")


def clip_tokenizer() -> CLIPTokenizer:
    text = TextConfig(vocabulary=1200, width=WIDTH, layers=LAYERS, heads=HEADS)
    return train_tokenizer(text, sample_captions(300, 0.0, np.random.default_rng(0))[0])


def clip(tokenizer: CLIPTokenizer, kind: Any, width: int = WIDTH) -> Any:
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, projection_dim=width, max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def autoencoder(channels: int = 4, **settings: Any) -> AutoencoderKL:
    """Eight pixels a side to one latent, as of the published ones."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=channels, layers_per_block=1, norm_num_groups=4,
        sample_size=64, **settings,
    )  # fmt: skip


def linear_schedule(kind: Any, **settings: Any) -> Any:
    return kind(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, **settings)


def stable_diffusion_xl() -> StableDiffusionXLPipeline:
    tokenizer = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, norm_num_groups=4,
        attention_head_dim=(2, 4), cross_attention_dim=2 * WIDTH + 8, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=WIDTH + 8 + 6 * 8, use_linear_projection=True,
        transformer_layers_per_block=(1, 1),
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=autoencoder(scaling_factor=0.13025), unet=unet, tokenizer=tokenizer, tokenizer_2=tokenizer,
        text_encoder=clip(tokenizer, CLIPTextModel),
        text_encoder_2=clip(tokenizer, CLIPTextModelWithProjection, WIDTH + 8),
        scheduler=linear_schedule(DDIMScheduler, clip_sample=False),
    )  # fmt: skip


def t5_tokenizer() -> T5Tokenizer:
    letters = [
        (mark + letter, -3.0) for mark in ("\u2581", "") for letter in "abcdefghijklmnopqrstuvwxyz0123456789.,;-"
    ]
    return T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *letters], extra_ids=0)


def t5(tokenizer: T5Tokenizer, width: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(vocab_size=len(tokenizer) + 4, d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
                 feed_forward_proj="gated-gelu")
    )  # fmt: skip


def stable_diffusion_3(t5_too: bool = True) -> StableDiffusion3Pipeline:
    clip_words, t5_words = clip_tokenizer(), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=48, caption_projection_dim=16, pooled_projection_dim=2 * WIDTH + 8, out_channels=16,
        pos_embed_max_size=16, dual_attention_layers=(0,), qk_norm="rms_norm",
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False,
                        use_post_quant_conv=False),
        text_encoder=clip(clip_words, CLIPTextModelWithProjection), tokenizer=clip_words,
        text_encoder_2=clip(clip_words, CLIPTextModelWithProjection, WIDTH + 8), tokenizer_2=clip_words,
        text_encoder_3=t5(t5_words, 48) if t5_too else None, tokenizer_3=t5_words if t5_too else None,
    )  # fmt: skip


def pixart_sigma() -> PixArtSigmaPipeline:
    words = t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2,
        cross_attention_dim=16, sample_size=8, patch_size=2, interpolation_scale=1, caption_channels=WIDTH,
        use_additional_conditions=False,
    )  # fmt: skip
    # the published schedule's linear betas
    scheduler = DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    return PixArtSigmaPipeline(
        tokenizer=words, text_encoder=t5(words, WIDTH), vae=autoencoder(scaling_factor=0.13025),
        transformer=transformer, scheduler=scheduler,
    )  # fmt: skip


def sana() -> SanaPipeline:
    letters = {letter: 5 + number for number, letter in enumerate("\u2581abcdefghijklmnopqrstuvwxyz0123456789.,;-'\n:")}
    words = GemmaTokenizer(vocab={"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4} | letters)
    text = Gemma2Config(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=8, pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    vae = AutoencoderDC(
        latent_channels=4, attention_head_dim=4, encoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",),
        decoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",), encoder_block_out_channels=(8, 8, 8, 8, 16, 16),
        decoder_block_out_channels=(8, 8, 8, 8, 16, 16), encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6, encoder_qkv_multiscales=((), (), (), (), (), (5,)),
        decoder_qkv_multiscales=((), (), (), (), (), (5,)), upsample_block_type="interpolate",
        downsample_block_type="Conv", decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.41407,
    )  # fmt: skip
    transformer = SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=2,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=WIDTH,
        sample_size=2, patch_size=1,
    )  # fmt: skip
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, solver_order=2
    )
    return SanaPipeline(
        tokenizer=words, text_encoder=Gemma2Model(text), vae=vae, transformer=transformer, scheduler=scheduler
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "StableDiffusionXLPipeline": stable_diffusion_xl,
    "StableDiffusion3Pipeline": stable_diffusion_3,
    "PixArtSigmaPipeline": pixart_sigma,
    "SanaPipeline": sana,
}
