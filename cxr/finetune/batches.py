"""What each step trains on. Every draw follows from seed, step and slot alone.

A step has `batch * accumulation` slots, numbered over all workers, and each slot has a generator of its own. So the
number of workers, accumulation and restarts change no draw, and the step number is all the state there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from cxr.finetune.config import FinetuneConfig

ORDER, SLOT, CLASS_ORDER, CLASS_SLOT, VALIDATION, LORA, CLASS_IMAGES, TRAJECTORIES = range(
    8
)  # streams of draws of one seed


@dataclass(frozen=True)
class CaptionedImages:
    """Pictures in memory, uint8 [N, H, W], and a caption for each."""

    pixels: np.ndarray
    captions: Sequence[str]

    def __len__(self) -> int:
        return len(self.pixels)

    def __add__(self, other: "CaptionedImages") -> "CaptionedImages":
        return CaptionedImages(np.concatenate([self.pixels, other.pixels]), [*self.captions, *other.captions])


@dataclass(frozen=True)
class Batch:
    """What one pass of the denoiser takes, B rows."""

    rows: list[int]  # of the pictures
    flipped: list[bool]
    captions: list[str]
    weights: Tensor  # float32 [B], of each row's error
    times: Tensor  # int64 [B]
    noise: Tensor  # float32 [B, C, h, w]
    posterior: Tensor  # float32 [B, C, h, w], the normal draw that makes latents of moments


@dataclass(frozen=True)
class Draws:
    """What chance decides about one slot."""

    time: int
    noise: Tensor
    posterior: Tensor
    dropped: bool
    flipped: bool


@dataclass(frozen=True)
class DrawSchedule:
    """Which picture, and which draws, every slot of every step has.

    The first `instances` of the pictures are the set; the others, if there are any, are class pictures, and each of the
    set is followed by one of them.
    """

    config: FinetuneConfig
    captions: Sequence[str]
    instances: int
    latent_shape: tuple[int, int, int]
    draw_time: Callable[[torch.Generator], int]

    def batch(self, step: int, slots: Sequence[int]) -> Batch:
        """The set's rows of these slots, then as many class rows."""
        config = self.config
        position = step * config.batch * config.accumulation
        rows = [shuffled(config.seed, ORDER, self.instances, position + slot) for slot in slots]
        draws = [self.draws(config.seed, SLOT, step, slot) for slot in slots]
        if classes := len(self.captions) - self.instances:
            chosen = (shuffled(config.seed, CLASS_ORDER, classes, position + slot) for slot in slots)
            rows += [self.instances + row for row in chosen]
            draws += [self.draws(config.seed, CLASS_SLOT, step, slot) for slot in slots]
        weights = [1.0 if row < self.instances else config.prior_weight for row in rows]
        return self.draw_batch(rows, draws, weights)

    def batch_of(self, step: int, rows: Sequence[int], weights: Sequence[float], seed: int) -> Batch:
        """These rows of the set, whose errors have these weights; its draws are of another seed than the recipe's."""
        return self.draw_batch(rows, [self.draws(seed, SLOT, step, row) for row in rows], weights)

    def draw_batch(self, rows: Sequence[int], draws: Sequence[Draws], weights: Sequence[float]) -> Batch:
        return Batch(
            rows=list(rows),
            flipped=[d.flipped for d in draws],
            captions=["" if d.dropped else self.captions[row] for d, row in zip(draws, rows, strict=True)],
            weights=torch.tensor(weights),
            times=torch.tensor([d.time for d in draws]),
            noise=torch.stack([d.noise for d in draws]),
            posterior=torch.stack([d.posterior for d in draws]),
        )

    def draws(self, *key: int) -> Draws:
        chance = generator(*key)
        dropped, flipped = torch.rand(2, generator=chance).tolist()
        return Draws(
            time=self.draw_time(chance),
            noise=torch.randn(self.latent_shape, generator=chance),
            posterior=torch.randn(self.latent_shape, generator=chance),
            dropped=dropped < self.config.caption_dropout,
            flipped=flipped < self.config.flip,
        )


def generator(*key: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(*key))


def derive_seed(*key: int) -> int:
    """A seed in [0, 2**62) of a recipe's seed, a stream and what else names the draw."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 2


def shuffled(seed: int, stream: int, count: int, position: int) -> int:
    """The number at `position` of the endless series of epochs, each a permutation of `range(count)`."""
    epoch, place = divmod(position, count)
    return int(permutation(seed, stream, count, epoch)[place])


@lru_cache(maxsize=4)
def permutation(seed: int, stream: int, count: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, epoch]).permutation(count)


def fixed_batch(
    images: CaptionedImages, first: int, last: int, shape: Sequence[int], timesteps: int, seed: int
) -> Batch:
    """Rows first to last for validation: always the same noise, and times spread evenly over the schedule."""
    rows = range(first, last)
    pairs = [torch.randn((2, *shape), generator=generator(seed, VALIDATION, row)) for row in rows]
    return Batch(
        rows=list(rows),
        flipped=[False] * len(rows),
        captions=[images.captions[row] for row in rows],
        weights=torch.ones(len(rows)),
        times=torch.tensor([(2 * row + 1) * timesteps // (2 * len(images)) for row in rows]),
        noise=torch.stack([noise for noise, _ in pairs]),
        posterior=torch.stack([posterior for _, posterior in pairs]),
    )
