"""What to generate and how. Light: neither torch nor diffusers is imported here."""

from typing import Any, Literal

from pydantic import Field

from cxr.diffusion.config import Frozen, SamplerConfig

Layout = Literal["folder", "shards"]
Balance = Literal["findings", "sex", "age", "view"]
SHARD_IMAGES = 1000
MAX_IMAGES = 10_000_000  # of one set: at 0.43 kB each metadata.jsonl comes to 4.3 GB, and S3 takes 5 GB in one PUT


class GenerateConfig(Frozen):
    """The recipe of a generated set; with the digests of model and prompts it fixes every byte."""

    model: str = "tiny"
    """tiny, sd15, sd21, a diffusers folder, owner/name@revision or s3://bucket/prefix."""
    lora: str | None = None
    """LoRA weights on top: a file or folder, owner/name@revision or s3://bucket/prefix."""
    sampler: SamplerConfig = SamplerConfig()
    findings: str = "all"
    """`all` that the model was trained on (the templates' ten where no record tells), or some separated by commas; of
    A+B each picture has both."""
    per_finding: int = Field(1, ge=1, le=100_000)  # the templates hold more than twice as many
    """Pictures of each finding: of the prompt that its model was trained with, or each of another of the templates."""
    templates: bool = False
    """Prompts from the templates, also for a model that was trained with others."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of the whole set; another seed gives other prompts and pictures."""
    layout: Layout = "folder"
    """folder: one PNG an image; shards: Parquet files of 1,000."""

    @property
    def unit_images(self) -> int:
        """Pictures that are generated, stored and retried together."""
        return self.sampler.batch if self.layout == "folder" else SHARD_IMAGES


def identity(config: GenerateConfig, model_digest: str, lora_digest: str | None, plan_digest: str) -> dict[str, Any]:
    """The recipe as the record keeps it: places are replaced by digests of their content."""
    return {
        **config.model_dump(mode="json", exclude={"model", "lora", "findings", "per_finding", "templates"}),
        "model": model_digest,
        "lora": lora_digest,
        "plan": plan_digest,
    }
