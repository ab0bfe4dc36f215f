"""What an audit asks of a synthetic set, and the limits that it holds the answers against. Light: no torch."""

import hashlib
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

DETAILS, FEATURES, KEY_POINTS = "details", "features", "key points"  # what pictures are compared by
POWER = 0.8  # with which a test finds the least leak that it is said to find


class AuditConfig(BaseModel):
    """The recipe of an audit; with the digests of both sets and of the extractor it fixes every number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    extractor: str = "tiny"
    """tiny, inception or rad-dino; or inception, rad-dino or xrv, = and where its weights are: a folder, a file, s3://"""
    size: int = Field(128, ge=64, le=1024)
    """Pixels at which pictures are compared; each takes size^2 bytes of memory."""
    max_p: float = Field(0.01, gt=0, le=0.1)
    """Limit: a test whose result chance brings less often than this has found a leak."""
    false_alarms: float = Field(0.01, gt=0, le=0.1)
    """Share of pictures that are no copies above the threshold at which a picture is shown as one."""
    max_auc: float = Field(0.6, gt=0.5, lt=1)
    """Limit: a leak where training patients are told from test patients with an AUC whose lower bound is above; none
    where the upper bound is below."""
    max_tpr: float = Field(0.05, gt=0.01, lt=1)
    """Limit: a leak where the lower bound of the share of training pictures told at 1 % false alarms is above."""
    min_patients: int = Field(200, ge=10, le=100_000)
    """Pairs of a training and a test patient that it takes to say that no leak was found in the model."""
    max_patients: int = Field(400, ge=20, le=100_000)
    """Pairs of patients that the model is asked about, at most."""
    resamples: int = Field(2000, ge=100, le=100_000)
    """Of patients, for an interval."""
    false_matches: float = Field(0.001, gt=0, le=0.1)
    """Share of pairs of different patients whom re-identification may link."""
    min_linked: float = Field(0.8, gt=0, le=1)
    """Share of other pictures of the same real patient that re-identification must link to count as a test."""
    permutations: int = Field(2000, ge=100, le=100_000)
    """Times that it is decided anew who is a training patient; more than 1 / --max-p."""
    draws: int = Field(20, ge=1, le=1000)
    """Of as many test patients as training patients, for the threshold of single pictures."""
    planted: int = Field(20, ge=5, le=1000)
    """Copies of each kind that are planted, to say how many of them the search finds."""
    canary_images: int = Field(4, ge=0, le=1000)
    """Pictures sampled from the caption of each canary of the model, to see whether its own comes out; 0: none."""
    shown: int = Field(12, ge=0, le=200)
    """Pairs of pictures on the page at most."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of every draw."""


def identity(
    config: AuditConfig, extractor: str, real: str, synthetic: str, shown: np.ndarray | None, model: str | None
) -> dict[str, Any]:
    """The recipe as the record keeps it: places are replaced by digests of their content, and so is who was shown.

    Args:
        shown: bool [N], rows of the real set's patients that the generator was shown; None: not known.
        model: digest of the fine-tuned model that is attacked; None: none is.
    """
    return {
        **config.model_dump(mode="json", exclude={"extractor"}),
        "extractor": extractor,
        "real": real,
        "synthetic": synthetic,
        "shown": None if shown is None else hashlib.sha256(np.packbits(shown).tobytes()).hexdigest(),
        "model": model,
    }
