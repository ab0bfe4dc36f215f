"""How a synthetic set is measured against a real one. Light: no torch."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxr.data.labels import LabelPolicy

FALSE_ALARMS = 0.01  # share of real pictures of other patients that the copy search flags
LEAST_TRAIN = 100  # training pictures, so that this share is one of them
ALL: Final = "all"
HELD_OUT: Final = "held-out"
PARTS = {"train": ("train",), "test": ("test",), HELD_OUT: ("validation", "test")}  # splits, by what `against` names


class EvaluateConfig(BaseModel):
    """The recipe of an evaluation; with the digests of both sets and of the extractor it fixes every metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    extractor: str = "tiny"
    """tiny, inception or rad-dino; or inception, rad-dino or xrv, = and where its weights are: a folder, a file, s3://"""
    size: int = Field(128, ge=32, le=1024)
    """Pixels at which copies, prompt accuracy and MS-SSIM see pictures; a real one takes size^2 bytes of memory."""
    against: Literal["held-out", "test", "train", "all"] = HELD_OUT
    """The part of the real set to compare with; held-out: validation and test. Training pictures reward copies."""
    max_samples: int = Field(1000, ge=20, le=100_000)
    """Pictures of each finding and set that metrics use at most, drawn at random."""
    min_samples: int = Field(20, ge=4)
    """Patients and pictures that a finding needs on both sides."""
    neighbours: int = Field(5, ge=1, le=100)
    """k of precision, recall, density and coverage."""
    resamples: int = Field(100, ge=10, le=10_000)
    """Halves that an interval is measured from."""
    splits: int = Field(20, ge=4, le=1000)
    """Of the real set into halves, for the real-vs-real reference."""
    pairs: int = Field(200, ge=10, le=100_000)
    """Of pictures of a finding, for MS-SSIM."""
    calibration: int = Field(1000, ge=LEAST_TRAIN, le=100_000)
    """Real pictures at most that say what is no near-duplicate."""
    infinite: bool = False
    """Extrapolate the Fréchet distance to infinitely many synthetic pictures."""
    labels: LabelPolicy = LabelPolicy()
    """What uncertain and unknown labels of both sets count as."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of every draw."""

    @model_validator(mode="after")
    def _halves_have_neighbours(self) -> "EvaluateConfig":
        if self.min_samples < 2 * (self.neighbours + 1):
            raise ValueError(f"half of --min-samples must be more than --neighbours {self.neighbours}")
        return self


def identity(config: EvaluateConfig, extractor: str, real: str, synthetic: str) -> dict[str, Any]:
    """The recipe as the record keeps it: places are replaced by digests of their content; the usual policy for labels
    is not in it, as in recipes of version 0.1."""
    left_out = {"extractor", *(["labels"] if config.labels == LabelPolicy() else [])}
    return {
        **config.model_dump(mode="json", exclude=left_out),
        "extractor": extractor,
        "real": real,
        "synthetic": synthetic,
    }
