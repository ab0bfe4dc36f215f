"""What of a diffusion model is trained, and how it samples. Light: neither torch nor diffusers is imported here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["auto", "fp32", "fp16", "bf16"]


class Frozen(BaseModel):
    """Refuses what it does not know and cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplerConfig(Frozen):
    """How a prompt and a seed become a picture."""

    size: int = Field(512, ge=64, le=2048, multiple_of=8)  # px, height and width
    steps: int = Field(30, ge=1, le=1000)
    guidance: float = Field(7.5, ge=1.0, le=50.0)
    batch: int = Field(8, ge=1, le=256)  # pictures in one call of the UNet (twice that with guidance)
    precision: Precision = "auto"  # auto: fp16 on a GPU, fp32 on a CPU
    compile: bool = False  # torch.compile: minutes to start, faster from then on
    threads: int = Field(1, ge=1, le=256)  # of a sampler on a CPU; fixed, because it can change a last bit
    lora_scale: float = Field(1.0, ge=0.0, le=4.0)


class AdapterConfig(Frozen):
    """Which weights of a model are trained: all of the UNet, or a LoRA; those of the text encoder too if asked."""

    method: Literal["dreambooth", "lora"] = "lora"  # dreambooth: every weight of the UNet
    train_text_encoder: bool = False  # by the same method
    rank: int = Field(8, ge=1, le=1024)  # of a LoRA
    alpha: float = Field(8, gt=0, le=4096)  # a LoRA acts with strength alpha / rank
    precision: Precision = "auto"  # auto: bf16 on a GPU that has it, fp32 on a CPU
    gradient_checkpointing: bool = False  # a quarter more time for much less memory
