"""The order of pictures and draws: a function of seed, step and slot."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.errors import BadInput
from cxr.finetune.batches import CaptionedImages, DrawSchedule, fixed_batch, shuffled
from cxr.finetune.config import FinetuneConfig, total_steps
from cxr.ranks import Ranks


def draw_time(generator: torch.Generator) -> int:
    return int(torch.randint(1000, (), generator=generator))


def draw_schedule(instances: int = 7, classes: int = 0, **fields) -> DrawSchedule:
    captions = [f"picture {i}" for i in range(instances + classes)]
    return DrawSchedule(FinetuneConfig(**fields), captions, instances, (1, 2, 2), draw_time)


@given(st.integers(1, 50), st.integers(0, 10**9), st.integers(0, 5))
@settings(max_examples=30)
def test_every_epoch_shows_every_picture_once(count: int, seed: int, epoch: int) -> None:
    seen = [shuffled(seed, 0, count, epoch * count + place) for place in range(count)]
    assert sorted(seen) == list(range(count))


def test_epochs_are_shuffled_anew() -> None:
    first, second = ([shuffled(0, 0, 50, e * 50 + i) for i in range(50)] for e in range(2))
    assert first != second != sorted(second)


@pytest.mark.parametrize(("size", "accumulation"), [(1, 1), (2, 1), (2, 2), (3, 1)])
def test_workers_and_passes_share_out_the_same_slots(size: int, accumulation: int) -> None:
    batch = 8 // accumulation
    slots = [s for turn in range(accumulation) for rank in range(size) for s in Ranks(rank, size).slots(batch, turn)]
    assert slots == list(range(8))


def test_a_slot_draws_the_same_alone_and_in_company() -> None:
    made = draw_schedule(batch=4, flip=0.5)
    whole, alone = made.batch(3, range(4)), made.batch(3, [2])
    for field in ("times", "noise", "posterior"):
        assert torch.equal(getattr(whole, field)[2:3], getattr(alone, field))
    for field in ("rows", "captions", "flipped"):
        assert getattr(whole, field)[2:3] == getattr(alone, field)


def test_no_two_slots_steps_or_seeds_share_their_noise() -> None:
    batches = [draw_schedule(batch=4, classes=3, prior_weight=1.0, seed=seed).batch(step, range(4))
               for seed in range(2) for step in range(3)]  # fmt: skip
    noises = [tensor.numpy().tobytes() for b in batches for tensor in (*b.noise, *b.posterior)]
    assert len(set(noises)) == len(noises) == 2 * 3 * 8 * 2


def test_captions_are_dropped_and_pictures_mirrored_as_often_as_the_recipe_says() -> None:
    made = draw_schedule(batch=1, caption_dropout=0.1, flip=0.3)
    batches = [made.batch(step, [0]) for step in range(2000)]
    assert 0.08 < np.mean([b.captions == [""] for b in batches]) < 0.12
    assert 0.27 < np.mean([b.flipped[0] for b in batches]) < 0.33
    assert all(b.captions in ([""], [f"picture {b.rows[0]}"]) for b in batches)
    times = np.array([b.times.item() for b in batches])
    assert times.min() < 20 and times.max() > 980 and 480 < times.mean() < 520


def test_each_picture_is_followed_by_a_class_picture() -> None:
    batch = draw_schedule(classes=3, batch=4, prior_weight=0.5, caption_dropout=0.0).batch(0, range(4))
    assert max(batch.rows[:4]) < 7 <= min(batch.rows[4:])
    assert batch.weights.tolist() == [1.0] * 4 + [0.5] * 4
    assert batch.captions == [f"picture {row}" for row in batch.rows]


def test_validation_rows_cover_the_schedule_evenly_and_never_change() -> None:
    pictures = CaptionedImages(np.zeros((4, 8, 8), np.uint8), list("abcd"))
    whole = fixed_batch(pictures, 0, 4, (1, 2, 2), 1000, seed=3)
    part = fixed_batch(pictures, 2, 4, (1, 2, 2), 1000, seed=3)
    assert whole.times.tolist() == [125, 375, 625, 875]
    assert torch.equal(whole.noise[2:], part.noise) and part.captions == ["c", "d"]


def test_steps_are_counted_from_epochs_unless_given() -> None:
    config = FinetuneConfig(epochs=3, batch=4, accumulation=2)
    assert total_steps(config, 100) == 38  # 300 pictures, 8 a step
    assert total_steps(config.model_copy(update={"max_train_steps": 7}), 100) == 7


def test_more_workers_than_pictures_are_refused() -> None:
    Ranks(0, 4).check(6)
    with pytest.raises(BadInput, match="--batch 3 is too small for 4 workers"):
        Ranks(0, 4).check(3)
