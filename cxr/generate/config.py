"""What to generate and how. Light: neither torch nor diffusers is imported here."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Layout = Literal["folder", "shards"]
SHARD_IMAGES = 1000
MAX_IMAGES = 10_000_000  # of one set: at 0.43 kB each metadata.jsonl comes to 4.3 GB, and S3 takes 5 GB in one PUT


class Frozen(BaseModel):
    """Refuses what it does not know and cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplerConfig(Frozen):
    """How a prompt and a seed become a picture."""

    size: int = Field(512, ge=64, le=2048, multiple_of=8)  # px, height and width
    steps: int = Field(30, ge=1, le=1000)
    guidance: float = Field(7.5, ge=1.0, le=50.0)
    batch: int = Field(8, ge=1, le=256)  # pictures in one call of the UNet (twice that with guidance)
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"  # auto: fp16 on a GPU, fp32 on a CPU
    compile: bool = False  # torch.compile: minutes to start, faster from then on
    threads: int = Field(1, ge=1, le=256)  # of a sampler on a CPU; fixed, because it can change a last bit
    lora_scale: float = Field(1.0, ge=0.0, le=4.0)


class GenerateConfig(Frozen):
    """The recipe of a generated set; with the digests of model and prompts it fixes every byte."""

    model: str = "tiny"  # alias, folder, owner/name@revision or s3:// prefix
    lora: str | None = None
    sampler: SamplerConfig = SamplerConfig()
    findings: str = "all"  # that the model was trained on, or the templates' ten where no record tells
    per_finding: int = Field(1, ge=1, le=100_000)  # the templates hold more than twice as many
    prompts_from: Literal["model", "templates"] = "model"  # model: those it was trained with, where its record tells
    seed: int = Field(0, ge=0, lt=2**63)
    layout: Layout = "folder"

    @property
    def unit_images(self) -> int:
        """Pictures that are generated, stored and retried together."""
        return self.sampler.batch if self.layout == "folder" else SHARD_IMAGES


def identity(config: GenerateConfig, model_digest: str, lora_digest: str | None, plan_digest: str) -> dict[str, Any]:
    """The recipe as the record keeps it: places are replaced by digests of what they held."""
    return {
        **config.model_dump(mode="json", exclude={"model", "lora", "findings", "per_finding", "prompts_from"}),
        "model": model_digest,
        "lora": lora_digest,
        "plan": plan_digest,
    }
