"""What of a diffusion model is trained, and how it samples. Light: neither torch nor diffusers is imported here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["auto", "fp32", "fp16", "bf16"]
Solver = Literal["dpm", "ddim", "lcm"]
SOLVERS: dict[Solver, str] = {
    "dpm": "DPM-Solver++",
    "ddim": "DDIM (first order, trailing spacing)",
    "lcm": "of latent consistency models",
}


class Frozen(BaseModel):
    """Refuses what it does not know and cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplerConfig(Frozen):
    """How a prompt and a seed become a picture."""

    size: int = Field(512, ge=64, le=2048, multiple_of=8)
    """Pixels along each side."""
    steps: int = Field(30, ge=1, le=1000)
    """Denoising steps."""
    guidance: float = Field(7.5, ge=1.0, le=50.0)
    """Classifier-free guidance scale."""
    solver: Solver = Field("dpm", exclude_if=lambda solver: solver == "dpm")  # as recipes were before there were others
    """dpm: DPM-Solver++; ddim: first order, trailing spacing, for distilled models and the LoRAs of Hyper-SD; lcm: for
    LoRAs of latent consistency models."""
    batch: int = Field(8, ge=1, le=256)
    """Pictures in one call of the denoiser, which with guidance sees twice as many."""
    precision: Precision = "auto"
    """What the networks compute in; auto: fp16 on a GPU, fp32 on a CPU."""
    compile: bool = False
    """torch.compile the denoiser: minutes to start, faster afterwards."""
    cuda_graphs: bool = Field(False, exclude_if=lambda on: not on)  # as recipes were before there were any
    """On a GPU, record the denoiser's calls and replay them: a second to start, faster at small batches."""
    threads: int = Field(1, ge=1, le=256)
    """Of a sampler on a CPU; can change a last bit."""
    lora_scale: float = Field(1.0, ge=0.0, le=4.0)
    """Strength of --lora; 0: none."""

    @property
    def passes(self) -> int:
        """Through the denoiser, a picture: with guidance each step takes two."""
        return self.steps * (2 if self.guidance > 1 else 1)


class AdapterConfig(Frozen):
    """Which weights of a model are trained: all of the denoiser, or a LoRA; those of the text encoder too if asked."""

    method: Literal["dreambooth", "lora", "distill", "distill_lora"] = "lora"
    """dreambooth: every weight of the denoiser (UNet or transformer); lora: a small addition to it; distill: every
    weight, so that few steps without guidance end where many with it do; distill_lora: the same as an addition."""
    train_text_encoder: bool = False
    """Train the text encoder too, by the same method; a T5 or Gemma always stays as it is."""
    rank: int = Field(8, ge=1, le=1024)
    """Of a LoRA."""
    alpha: float = Field(8, gt=0, le=4096)
    """Of a LoRA: it acts with strength alpha / rank."""
    precision: Precision = "auto"
    """What the networks compute in; auto: bf16 on a GPU that has it, fp32 on a CPU."""
    gradient_checkpointing: bool = False
    """Much less memory for a quarter more time."""

    @property
    def trains_lora(self) -> bool:
        return is_lora(self.method)

    @property
    def distills(self) -> bool:
        return self.method.startswith("distill")


def is_lora(method: str) -> bool:
    """Whether a training by this method, as a record names it, leaves a LoRA."""
    return method in ("lora", "distill_lora")
