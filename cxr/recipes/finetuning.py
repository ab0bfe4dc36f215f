"""Recipes of fine-tuning and distilling: which model, by which method, for how long."""

from collections.abc import Callable

from cxr.finetune.config import FinetuneConfig
from cxr.recipes.fields import replace_fields


def tiny_lora() -> FinetuneConfig:
    """A LoRA on the embedded model: minutes on a CPU."""
    return FinetuneConfig(
        model="tiny", size=128, rank=16, alpha=16, train_text_encoder=True, max_train_steps=200, warmup=10,
        learning_rate=1e-3, validate_every=50, validation_images=8, sampling_steps=12, guidance=3.0,
    )  # fmt: skip


def dev() -> FinetuneConfig:
    """CXRGenAI's development run: its epochs, folds, batch, size and sampling steps; the rest is ours."""
    return FinetuneConfig(
        model="sd15", size=128, train_text_encoder=True, epochs=1, folds=2, batch=8, sampling_steps=20
    )


def product() -> FinetuneConfig:
    """CXRGenAI's production run: its epochs, folds, batch, size and sampling steps; the rest is ours."""
    return FinetuneConfig(
        model="sd15", size=256, train_text_encoder=True, epochs=100, folds=5, batch=48, sampling_steps=500, patience=10,
    )  # fmt: skip


def dreambooth_a100() -> FinetuneConfig:
    """Every weight of Stable Diffusion 2.1-base for one class: `--finding normal` for the other model."""
    return FinetuneConfig(
        model="sd21", method="dreambooth", finding="pneumonia", captions="instance", train_text_encoder=True,
        prior_weight=1.0, class_images=200, caption_dropout=0.0, batch=8, accumulation=2, learning_rate=5e-6,
        max_train_steps=800, warmup=100, gradient_checkpointing=True,
    )  # fmt: skip


def lora_a100() -> FinetuneConfig:
    """A large LoRA on Stable Diffusion 1.5."""
    return FinetuneConfig(model="sd15", rank=128, alpha=128, batch=16, learning_rate=1e-4, max_train_steps=1500)


# Sizes, batches (1 x 4), learning rates and steps are those of diffusers' examples/dreambooth/README_sdxl.md,
# README_sd3.md and README_sana.md, where a LoRA of rank 4 learns one subject from five photographs (Sana at 1024 px,
# here at 512). They are a start, not a result: for X-rays take more steps, a larger batch and perhaps a higher rank.
# PixArt-Sigma's are those of its authors for PixArt-Alpha (its README, "PixArt + LoRA Training"), with Sana's steps.
def lora_sdxl_a100() -> FinetuneConfig:
    """A LoRA on Stable Diffusion XL at 1024 px, with diffusers' published settings."""
    return FinetuneConfig(
        model="sdxl", size=1024, rank=4, alpha=4, batch=4, learning_rate=1e-4, schedule="constant", max_train_steps=500,
        guidance=5.0, gradient_checkpointing=True,
    )  # fmt: skip


def lora_sd35_a100() -> FinetuneConfig:
    """A LoRA on Stable Diffusion 3.5 medium, with diffusers' published settings for Stable Diffusion 3."""
    return FinetuneConfig(
        model="sd35_medium", size=512, rank=4, alpha=4, batch=4, learning_rate=4e-4, schedule="constant",
        max_train_steps=500, sampling_steps=40, guidance=4.5, gradient_checkpointing=True,
    )  # fmt: skip


def lora_pixart_a100() -> FinetuneConfig:
    """A LoRA on PixArt-Sigma, with its authors' rank, batch and learning rate."""
    return FinetuneConfig(
        model="pixart_sigma", size=1024, rank=16, alpha=16, batch=16, learning_rate=1e-6, schedule="constant",
        max_train_steps=500, sampling_steps=20, guidance=4.5, gradient_checkpointing=True,
    )  # fmt: skip


def lora_sana_a100() -> FinetuneConfig:
    """A LoRA on Sana 0.6B, with diffusers' published settings for Sana."""
    return FinetuneConfig(
        model="sana_600m", size=512, rank=4, alpha=4, batch=4, learning_rate=1e-4, schedule="constant",
        max_train_steps=500, sampling_steps=20, guidance=4.5,
    )  # fmt: skip


def distill() -> FinetuneConfig:
    """The embedded model, or another (--model), made to sample in few steps without guidance (--steps)."""
    return FinetuneConfig(
        model="tiny", method="distill", steps=4, size=128, batch=32, max_train_steps=960, warmup=20,
        learning_rate=4e-4, ema=0.99, validate_every=40, guidance=3.0,
    )  # fmt: skip


def distill_lora() -> FinetuneConfig:
    """The same as an addition to the model, of 1.3 MB."""
    return replace_fields(distill(), method="distill_lora", rank=12, alpha=12, learning_rate=1e-3)


FINETUNE: dict[str, Callable[[], FinetuneConfig]] = {
    "tiny": tiny_lora,
    "dev": dev,
    "product": product,
    "dreambooth_a100": dreambooth_a100,
    "lora_a100": lora_a100,
    "lora_sdxl_a100": lora_sdxl_a100,
    "lora_sd35_a100": lora_sd35_a100,
    "lora_pixart_a100": lora_pixart_a100,
    "lora_sana_a100": lora_sana_a100,
    "distill": distill,
    "distill_lora": distill_lora,
}
