"""What a night does, and the limits that its set must keep. Light: no torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class NightlyConfig(BaseModel):
    """The recipe of a night; with the digests of data and model and the date it fixes the night's set.

    A step is what a user types behind `cxr STEP`; source, places, model and seed are filled in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """KIND:PLACE of the real X-rays, as `cxr ingest` reads it; what is new in it is taken in."""
    ingest: str = "tiny"
    """What to type behind `cxr ingest`: a recipe and options. Places, source, model and seed are filled in."""
    finetune: str = "tiny"
    """The same for `cxr finetune`."""
    generate: str = "tiny"
    """The same for `cxr generate`."""
    evaluate: str = "tiny"
    """The same for `cxr evaluate`."""
    audit: str = ""
    """The same for `cxr audit`, of the night's set and its model: a leak fails the gate. Empty: unaudited nights."""

    # Last night is the one that `latest` names; it is compared with only where it was measured in the same way.
    max_excess_distance: float = Field(gt=0, le=1e6)
    """Gate: Fréchet distance of the set to real pictures, less that between real ones, at most."""
    max_distance_ratio: float = Field(1.25, gt=0, le=1e6)
    """Gate: Fréchet distance, at most so many times last night's."""
    min_prompt_accuracy: float = Field(ge=0, le=1)
    """Gate: share of pictures that show what was asked, lower 95 % bound of the worst finding, at least."""
    max_accuracy_drop: float = Field(0.1, ge=0, le=1)
    """Gate: that share over all findings may be lower than last night's by so much."""
    max_copy_rate: float = Field(0.05, ge=0, le=1)
    """Gate: share of pictures that are flagged as near-duplicates of training pictures, at most."""
    max_copy_rise: float = Field(0.03, ge=0, le=1)
    """Gate: that share may be higher than last night's by so much."""


def identity(config: NightlyConfig, date: str, data: str, model: str) -> dict[str, Any]:
    """The recipe as the record keeps it: the source is replaced by digests of what was made of it. Without an audit it
    is what it was before there were audits."""
    left_out = {"source"} if config.audit else {"source", "audit"}
    return {**config.model_dump(mode="json", exclude=left_out), "date": date, "data": data, "model": model}
