"""A pipeline of Stable Diffusion 1.5's shape with random weights."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from cxr.pretrain.config import TextConfig
from cxr.pretrain.text import train_tokenizer

PROMPT = "Frontal chest radiograph with a patchy opacity in the left lower zone"


@dataclass(frozen=True)
class Shape:
    """The sizes of a pipeline and of its measurement. The default is SD 1.5's (its published config.json files)."""

    unet: tuple[int, ...] = (320, 640, 1280, 1280)
    vae: tuple[int, ...] = (128, 256, 512, 512)
    heads: int = 8
    groups: int = 32
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    size: int = 512  # px
    steps: int = 30
    batches: tuple[int, ...] = (1, 8, 32)
    matrix: int = 8192  # side of the matmul that the peak is measured by


SMOKE = Shape((16, 16, 32, 32), (8, 8, 16, 16), 2, 8, 32, 2, 2, 64, 2, (1, 2, 4), 512)


def save_pipeline(shape: Shape, folder: Path) -> None:
    """Writes the pipeline with random weights, half precision."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(TextConfig(), [PROMPT])
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(shape.vae),
        up_block_types=("UpDecoderBlock2D",) * len(shape.vae),
        block_out_channels=shape.vae, layers_per_block=2, latent_channels=4, norm_num_groups=shape.groups,
        sample_size=shape.size,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=shape.size // 8, block_out_channels=shape.unet, layers_per_block=2, attention_head_dim=shape.heads,
        cross_attention_dim=shape.text_width, norm_num_groups=shape.groups,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408, hidden_size=shape.text_width, intermediate_size=4 * shape.text_width,
            projection_dim=shape.text_width, num_hidden_layers=shape.text_layers, num_attention_heads=shape.text_heads,
            eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    ).to(torch.float16).save_pretrained(folder)  # fmt: skip
