"""The embedded model's UNet, trained on cached latents beside a frozen text encoder, as Stable Diffusion's is."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel, compute_snr
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from cxr.pretrain.config import DenoiserConfig
from cxr.pretrain.text import jumble, tokens_of
from cxr.prompts.findings import Attributes
from cxr.prompts.templates import describe_attributes

# Stable Diffusion's own noise schedule; v-prediction, because a small model then keeps brightness (arXiv:2202.00512).
NOISE_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "steps_offset": 1,
}


def make_unet(config: DenoiserConfig, latent_channels: int, latent_size: int, text_width: int) -> UNet2DConditionModel:
    """Text enters at a quarter of the latent's side and below; at the finer levels it costs much and adds little."""
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        block_out_channels=config.channels,
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=config.heads,
        norm_num_groups=8,
    )


def make_scheduler() -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(**NOISE_SCHEDULE, algorithm_type="dpmsolver++")


def draw_captions(attributes: Sequence[Attributes], config: DenoiserConfig, rng: np.random.Generator) -> list[str]:
    """A fresh caption for each picture every time it is seen; some are left empty, some have their words mixed up."""
    texts = [describe_attributes(a, rng) for a in attributes]
    draws = rng.random(len(texts))
    empty, jumbled = config.caption_dropout, config.caption_dropout + config.jumbled
    return ["" if u < empty else jumble(t, rng) if u < jumbled else t for t, u in zip(texts, draws, strict=True)]


def denoising_loss(
    unet: UNet2DConditionModel,
    schedule: DDPMScheduler,
    latents: Tensor,
    hidden: Tensor,
    gamma: float,
    generator: torch.Generator,
) -> Tensor:
    """Min-SNR weighted squared error of the velocity; latents [B, C, H, W], hidden [B, length, width]."""
    noise = torch.randn(latents.shape, generator=generator)
    times = torch.randint(schedule.config.num_train_timesteps, (len(latents),), generator=generator)
    predicted = unet(schedule.add_noise(latents, noise, times), times, hidden).sample
    error = (predicted - schedule.get_velocity(latents, noise, times)).square().mean(dim=(1, 2, 3))
    snr = compute_snr(schedule, times)
    return (error * snr.clamp(max=gamma) / (snr + 1)).mean() * (gamma + 1) / gamma


def train_denoiser(
    config: DenoiserConfig,
    tokenizer: CLIPTokenizer,
    encoder: CLIPTextModel,
    moments: tuple[Tensor, Tensor],
    attributes: Sequence[Attributes],
    unet: UNet2DConditionModel,
    rng: np.random.Generator,
    report: Callable[[dict[str, float]], None],
) -> None:
    """Trains the UNet in place and leaves its moving average in it.

    Args:
        moments: scaled mean and standard deviation of the latents, each [N, C, H, W].
        attributes: what each of the N pictures shows.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    schedule = DDPMScheduler(**NOISE_SCHEDULE)
    trained = list(unet.parameters())
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.01)
    rate = get_cosine_schedule_with_warmup(optimizer, config.warmup, config.steps)
    ema = EMAModel(trained, decay=config.ema, use_ema_warmup=True, power=0.75)
    for _ in range(config.steps):
        rows = rng.integers(len(attributes), size=config.batch)
        texts = draw_captions([attributes[i] for i in rows], config, rng)
        with torch.no_grad():
            hidden = encoder(tokens_of(tokenizer, texts)).last_hidden_state
        mean, std = moments[0][rows], moments[1][rows]
        latents = mean + std * torch.randn(mean.shape, generator=generator)
        loss = denoising_loss(unet, schedule, latents, hidden, config.snr_gamma, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        rate.step()
        ema.step(trained)
        report({"loss": loss.item()})
    ema.copy_to(trained)
