"""How X-rays are brought in. Light: no torch, no decoder."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class IngestConfig(BaseModel):
    """The recipe of an ingested set; with the source's rows and their marks it fixes catalog and splits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: str = ""
    """Findings to keep, and those to merge: Pneumonia,Effusion=Pleural Effusion; by default all of the source's."""
    size: int = Field(512, ge=28, le=4096)
    """Pixels along each side."""
    aspect: Literal["keep", "square"] = "keep"
    """keep: padded with black; square: stretched."""
    split: Literal["patient", "official"] = "patient"
    """patient: our own, no patient on both sides; official: the publisher's, checked."""
    train: float = Field(0.7, gt=0, lt=1)
    """Share of the patients in the training part; with the next two it adds up to 1."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share in the validation part."""
    test: float = Field(0.2, gt=0, lt=1)
    """Share in the test part."""
    folds: int = Field(5, ge=2, le=50)
    """Folds of the training part, by patient."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of the split."""
    max_rejected: float = Field(0.05, ge=0, le=1)
    """Share of pictures that may be refused before the job stops."""
    unit_images: int = Field(32, ge=1, le=10_000)
    """Pictures that are read, stored and retried together."""

    @model_validator(mode="after")
    def _shares_fill_the_whole(self) -> "IngestConfig":
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("--train, --validation and --test must add up to 1")
        return self


def identity(config: IngestConfig, rows_digest: str) -> dict[str, Any]:
    """The recipe as the record keeps it. How much may be rejected decides whether the set is made, not what it is.
    Findings stand in it where some were asked for."""
    left_out = {"max_rejected", *(() if config.findings else ("findings",))}
    return {**config.model_dump(mode="json", exclude=left_out), "rows": rows_digest}
