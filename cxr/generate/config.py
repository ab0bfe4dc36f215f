"""What to generate and how. Light: neither torch nor diffusers is imported here."""

from typing import Any, Literal

from pydantic import Field

from cxr.diffusion.config import Frozen, SamplerConfig

Layout = Literal["folder", "shards"]
SHARD_IMAGES = 1000
MAX_IMAGES = 10_000_000  # of one set: at 0.43 kB each metadata.jsonl comes to 4.3 GB, and S3 takes 5 GB in one PUT


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
