"""Do canaries' pictures come out of a model that is asked for their captions? Statistics and sampling.

Whoever has a model and a training picture's caption can sample it until the picture comes out (Carlini et al. 2023,
arXiv:2301.13188, extract 94 pictures of Stable Diffusion so). What comes out is like many a chest, so canaries who were
left out are asked for too, and the two are compared: a coin alone decided who was left in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm, rankdata

from cxr.audit.config import POWER
from cxr.audit.exchangeability import CELLS, detail_vectors
from cxr.audit.membership import steps

if TYPE_CHECKING:
    from cxr.diffusion.config import SamplerConfig
    from cxr.diffusion.family import DiffusionModel


@dataclass(frozen=True)
class CanarySides:
    """Whether the model shows more of those who were left in."""

    share: float  # of pairs of one left in and one left out, those in which the first scores higher; ties: a half
    p: float  # one-sided, by deciding anew who was left in
    extracted: float  # of those left in, how many must come out to be found with POWER; infinite: all would not do


def sample_captions(
    model: "DiffusionModel", config: "SamplerConfig", captions: Sequence[str], rng: np.random.Generator,
    advance: Callable[[int], object],
) -> np.ndarray:  # fmt: skip
    """A picture of each caption, uint8 [S, size, size], each of a seed of its own; `advance` hears them."""
    from cxr.diffusion.sampler import Sampler

    seeds = rng.integers(2**63, size=len(captions)).tolist()
    return Sampler(model, config)(captions, [""] * len(captions), seeds, advance=advance)


def match_own(pixels: np.ndarray, captions: Sequence[str], samples: np.ndarray, asked: Sequence[str]) -> np.ndarray:
    """The best correlation of details of each picture with those sampled from its own caption, float [N].

    Args:
        pixels: uint8 [N, S, S], with a caption each, of which at least one picture was sampled.
        samples: uint8 [M, S, S], with what was asked for.
    """
    likeness = detail_vectors(pixels) @ detail_vectors(samples).T
    return np.where(np.array(captions)[:, None] == np.array(asked), likeness, -1).max(axis=1)


def compare_sides(
    scores: np.ndarray, kept: np.ndarray, permutations: int, max_p: float, rng: np.random.Generator
) -> CanarySides:
    """Whether those who were left in, bool [N], have higher scores, float [N]; some are on either side."""
    ranks, inside, outside = rankdata(scores), int(kept.sum()), int((~kept).sum())

    def shares(sides: np.ndarray) -> np.ndarray:
        return ((sides @ ranks) / inside - (inside + 1) / 2) / outside

    drawn = [
        shares(rng.permuted(np.broadcast_to(kept, (count, len(kept))), axis=1))
        for count in steps(permutations, max(1, CELLS // len(kept)))
    ]
    null, share = np.concatenate(drawn), float(shares(kept[None])[0])
    p = float((1 + (null >= share - 1e-9).sum()) / (1 + permutations))
    level = float(np.quantile(null, 1 - max_p, method="higher"))
    return CanarySides(share, p, detectable_extractions(inside, outside, level))


def detectable_extractions(inside: int, outside: int, level: float) -> float:
    """How many of those left in must score above all who were left out, the others as by chance, for a share above the
    level with `POWER`; infinite where all would not do. The spread of a share by chance is that of Mann and Whitney
    1947 (Ann. Math. Stat. 18, 50)."""
    extracted = np.arange(inside + 1)
    others = inside - extracted
    spread = np.sqrt((others + outside + 1) / (12 * np.maximum(others, 1) * outside))
    share = (extracted + others * (0.5 - norm.ppf(POWER) * spread)) / inside
    return float(extracted[share > level][0]) if (share > level).any() else np.inf
