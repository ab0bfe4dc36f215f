"""What every distance asks of the features it is given."""

import numpy as np

from cxr.errors import BadInput


def as_samples(features: np.ndarray, least: int = 2) -> np.ndarray:
    """The features [N, d] as float64.

    Raises:
        BadInput: fewer than `least` rows, or values that are infinite or no numbers.
    """
    if features.ndim != 2:
        raise ValueError(f"features of shape {features.shape}, not [N, d]")
    if len(features) < least:
        raise BadInput(f"features: of {len(features)} pictures, where this metric needs {least} at least; give more")
    if not np.isfinite(features).all():
        raise BadInput("features: some are infinite or no numbers; check the extractor's weights and its pictures")
    return features.astype(np.float64, copy=False)


def as_pair(real: np.ndarray, synthetic: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Both as `as_samples` gives them, of one dimension."""
    if real.shape[1:] != synthetic.shape[1:]:
        raise ValueError(f"features of {real.shape[1:]} and {synthetic.shape[1:]} dimensions: of two extractors?")
    return as_samples(real, least), as_samples(synthetic, least)
