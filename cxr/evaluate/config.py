"""How a synthetic set is measured against a real one. Light: no torch."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FALSE_ALARMS = 0.01  # share of real pictures of other patients that the copy search flags
LEAST_TRAIN = 100  # training pictures, so that this share is one of them
ALL: Final = "all"
HELD_OUT: Final = "held-out"
PARTS = {"train": ("train",), "test": ("test",), HELD_OUT: ("validation", "test")}  # splits, by what `against` names


class EvaluateConfig(BaseModel):
    """The recipe of an evaluation; with the digests of both sets and of the extractor it fixes every figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    extractor: str = "tiny"  # tiny, inception, xrv or rad-dino; NETWORK=PLACE for weights of one's own
    size: int = Field(128, ge=32, le=1024)  # px at which copies, agreement and MS-SSIM see the pictures of both sets
    # The part of the real set that figures compare with. Training pictures in it would reward their copies.
    against: Literal["held-out", "test", "train", "all"] = HELD_OUT
    most: int = Field(1000, ge=20, le=100_000)  # pictures of each finding and set that figures use, drawn at random
    least: int = Field(20, ge=4)  # patients and pictures; a finding with fewer on a side is left out
    neighbours: int = Field(5, ge=1, le=100)  # k of precision, recall, density and coverage
    resamples: int = Field(100, ge=10, le=10_000)  # of an interval
    splits: int = Field(20, ge=4, le=1000)  # of the real set, for its floor
    pairs: int = Field(200, ge=10, le=100_000)  # of pictures of a finding, for MS-SSIM
    calibration: int = Field(1000, ge=LEAST_TRAIN, le=100_000)  # real pictures at most that say what is no copy
    infinite: bool = False  # Fréchet distance extrapolated to infinitely many synthetic pictures
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _halves_have_neighbours(self) -> "EvaluateConfig":
        if self.least < 2 * (self.neighbours + 1):
            raise ValueError(f"half of --least must be more than --neighbours {self.neighbours}")
        return self


def identity(config: EvaluateConfig, extractor: str, real: str, synthetic: str) -> dict[str, Any]:
    """The recipe as the record keeps it: places are replaced by digests of what they held."""
    return {
        **config.model_dump(mode="json", exclude={"extractor"}),
        "extractor": extractor,
        "real": real,
        "synthetic": synthetic,
    }
