"""What to generate and how. Light: neither torch nor diffusers is imported here."""

import math
from typing import Any, Literal

from pydantic import Field

from cxr.data.candidates import FilterConfig
from cxr.diffusion.config import Frozen, SamplerConfig

Layout = Literal["folder", "shards"]
Balance = Literal["findings", "sex", "age", "view"]
SHARD_IMAGES = 1000
TINY_SIZE = 128  # px, at which the embedded model was trained
MAX_IMAGES = 10_000_000  # of one set: at 0.43 kB each metadata.jsonl comes to 4.3 GB, and S3 takes 5 GB in one PUT


class GenerateConfig(Frozen):
    """The recipe of a generated set; with the digests of model and prompts it fixes every byte."""

    model: str = "tiny"
    """An alias (tiny, sd15, sd21, sdxl, sd35_medium, pixart_sigma, sana_600m), a diffusers folder,
    a whole Stable Diffusion 1, 2 or XL in one .safetensors file, owner/name@revision or s3://bucket/prefix."""
    lora: str | None = None
    """LoRA weights on top: tiny_fast (of tiny, for few steps), a file or folder, owner/name@revision or
    s3://bucket/prefix."""
    sampler: SamplerConfig = SamplerConfig()
    findings: str = "all"
    """`all` that the model was trained on (the templates' ten where no record tells), or some separated by commas; of
    A+B each picture has both."""
    per_finding: int = Field(1, ge=1, le=100_000)  # the templates hold more than twice as many
    """Pictures of each finding: all of the prompt that the model was trained with, or each of another template."""
    templates: bool = False
    """Prompts from the templates, also for a model that was trained with others."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of the whole set; another seed gives other prompts and pictures."""
    layout: Layout = "folder"
    """folder: one PNG an image; shards: Parquet files of 1,000."""
    filter: FilterConfig = FilterConfig()

    @property
    def unit_images(self) -> int:
        """Pictures that are generated, stored and retried together."""
        return self.sampler.batch if self.layout == "folder" else SHARD_IMAGES

    @property
    def with_candidates(self) -> "GenerateConfig":
        """With as many pictures of each finding as are made at most, in whole units, where they are filtered."""
        if self.filter.quota is None:
            return self
        units = math.ceil(self.filter.quota * self.filter.tries / self.unit_images)
        return self.model_copy(update={"per_finding": units * self.unit_images})


def identity(
    config: GenerateConfig, model_digest: str, lora_digest: str | None, plan_digest: str,
    judged_by: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The recipe as the record keeps it: places are replaced by digests of their content.

    Args:
        judged_by: digests of the real set and of the extractor that pictures are filtered by; None: they are not, and
            the recipe does not speak of it.
    """
    left_out = {"model", "lora", "findings", "per_finding", "templates", "filter"}
    filtered = {"filter": {**config.filter.model_dump(mode="json"), **judged_by}} if judged_by else {}
    return {
        **config.model_dump(mode="json", exclude=left_out),
        "model": model_digest,
        "lora": lora_digest,
        "plan": plan_digest,
        **filtered,
    }
