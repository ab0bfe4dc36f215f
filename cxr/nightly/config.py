"""What a night does, and the limits that its set must keep. Light: no torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class NightlyConfig(BaseModel):
    """The recipe of a night; with the digests of data and model and the date it fixes the night's set.

    A step is what a user types behind `jobs/STEP.py`; source, places, model and seed are filled in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str  # KIND:PLACE, as jobs/ingest.py reads it; may grow from night to night
    ingest: str = "tiny"
    finetune: str = "tiny"
    generate: str = "tiny"
    evaluate: str = "tiny"

    # Last night is the one that `latest` names; it is compared with only where it was measured in the same way.
    max_excess_distance: float = Field(gt=0, le=1e6)  # Fréchet distance, less that of real halves of the same size
    distance_rise: float = Field(1.25, gt=0, le=1e6)  # Fréchet distance, times last night's
    min_worst_agreement: float = Field(ge=0, le=1)  # lower 95 % bound of the finding that is seen least surely
    agreement_drop: float = Field(0.1, ge=0, le=1)  # below last night's at most
    most_copies: float = Field(0.05, ge=0, le=1)  # share of pictures
    copies_rise: float = Field(0.03, ge=0, le=1)  # above last night's at most


def identity(config: NightlyConfig, date: str, data: str, model: str) -> dict[str, Any]:
    """The recipe as the record keeps it: the source is replaced by digests of what was made of it."""
    return {**config.model_dump(mode="json", exclude={"source"}), "date": date, "data": data, "model": model}
