"""Scores of pictures and of the denoiser, which checkpoint is best, when to stop, and the two pictures to look at."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from cxr.errors import BadInput
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.curves import plot_curves
from cxr.finetune.prior import make_class_images
from cxr.finetune.selection import Selection
from cxr.finetune.validation import Validation, compare_pairs
from cxr.store import open_store


def test_the_denoising_error_is_fixed_whatever_the_batch(trainer, losses, bars) -> None:
    made = trainer(bars(12))
    validation = Validation(made, bars(5, 12))
    first = validation()
    assert validation() == first and set(first) == {"mse"}
    other = Validation(trainer(bars(12), batch=5), bars(5, 12))
    assert other()["mse"] == pytest.approx(first["mse"], rel=1e-4)
    losses(made, 2)
    assert validation()["mse"] != first["mse"]


def test_it_measures_the_moving_average_inside_averaged(trainer, losses, bars) -> None:
    made = trainer(ema=0.9, schedule="constant")
    losses(made, 3)
    validation = Validation(made, bars(5, 12))
    with made.averaged():
        average = validation()["mse"]
    assert average != validation()["mse"]


def test_generated_pictures_are_compared_with_their_own_real_ones(trainer, bars) -> None:
    real, asked = bars(5, 12), []

    def sample(prompts, seeds):
        asked.append((list(prompts), list(seeds)))
        return np.clip(real.pixels[: len(prompts)].astype(int) + 10, 0, 255).astype(np.uint8)

    validation = Validation(trainer(), real, sample, lambda a, b: float(np.abs(a.astype(int) - b).mean()))
    scores = validation()
    assert asked == [(list(real.captions), [0, 1, 2, 3, 4])]
    assert scores["psnr"] == pytest.approx(20 * math.log10(255 / 10), abs=0.1)
    assert 0.9 < scores["ssim"] < 1 and scores["kid"] == pytest.approx(10, abs=0.2)
    assert validation()["ssim"] == scores["ssim"]
    with Image.open(io.BytesIO(validation.draw_grid())) as grid:
        assert grid.size == (5 * 128, 2 * 148)
        assert np.asarray(grid)[20:148, :128].mean() == pytest.approx(real.pixels[0].mean(), abs=2)


def test_one_picture_has_every_score_but_a_distance(trainer, bars) -> None:
    real = bars(1, 12)
    validation = Validation(trainer(), real, lambda prompts, seeds: real.pixels, lambda a, b: pytest.fail("of one"))
    assert set(validation()) == {"mse", "ssim", "psnr"}


def test_likeness_is_perfect_for_the_same_and_in_the_units_of_8_bits(bars) -> None:
    real = bars(3).pixels
    assert compare_pairs(real, real)["ssim"] == pytest.approx(1)
    dark, bright = np.zeros((2, 32, 32), np.uint8), np.full((2, 32, 32), 255, np.uint8)
    assert compare_pairs(dark, bright)["psnr"] == pytest.approx(0)
    assert compare_pairs(dark, bright)["ssim"] == pytest.approx(1e-4, rel=0.01)  # of constants, k1^2 / (1 + k1^2)
    half = np.stack([dark[0], np.full((32, 32), 51, np.uint8)])
    with_first_off = compare_pairs(half, np.full((2, 32, 32), 51, np.uint8) // 2)
    each = [20 * math.log10(255 / 25), 20 * math.log10(255 / 26)]
    assert with_first_off["psnr"] == pytest.approx(np.mean(each), abs=1e-3)


@pytest.mark.parametrize(
    ("metric", "values", "best_step", "ends_after"),
    [
        ("mse", [3.0, 2.0, 2.5, 2.0, 9.0], 2, 4),
        ("kid", [-1.0, 0.0, 0.0, 0.0], 1, 3),
        ("ssim", [0.1, 0.3, 0.2, 0.25, 0.4], 2, 4),
        ("psnr", [10.0, 11.0, 12.0, 13.0], 4, None),
    ],
)
def test_the_best_is_the_first_of_the_best_and_patience_ends(metric, values, best_step, ends_after) -> None:
    selection, ended = Selection(metric, patience=2), None
    for step, value in enumerate(values, 1):
        selection.update(step, {metric: value, "other": 0.0})
        if selection.exhausted:
            ended = step
            break
    assert (selection.step, ended) == (best_step, ends_after)


def test_without_patience_it_never_ends() -> None:
    selection = Selection("mse", patience=0)
    assert [selection.update(step, {"mse": float(step)}) for step in range(50)] == [True] + [False] * 49
    assert not selection.exhausted


@pytest.mark.parametrize("scores", [{"mse": 1.0}, {"mse": 1.0, "kid": math.nan}])
def test_a_metric_that_is_not_there_or_no_number_is_refused(scores: dict) -> None:
    with pytest.raises(BadInput, match=r"--select kid: (None|nan) after step 7; known there: mse"):
        Selection("kid", 0).update(7, scores)


@pytest.mark.parametrize("scores", [{}, {"mse": 0.5, "ssim": 0.2, "psnr": 12.0, "kid": 0.1}])
def test_curves_show_what_was_reported(scores: dict) -> None:
    history = [{"step": i, "loss": 1 / (i + 1), **(scores if i % 4 == 3 else {})} for i in range(12)]
    with Image.open(io.BytesIO(plot_curves(history))) as picture:
        assert picture.size == (700, 300 * (1 + len(scores)))
        assert np.asarray(picture.convert("L")).min() < 100
    assert plot_curves(history, kept=7) != plot_curves(history)


def test_class_pictures_are_made_once_for_a_recipe(tmp_path) -> None:
    store, calls = open_store(str(tmp_path)), []

    def sample(prompts, seeds):
        calls.append((list(prompts), list(seeds)))
        return np.array([np.full((8, 8), seed % 251) for seed in seeds], np.uint8)

    config = FinetuneConfig(prior_weight=1.0, class_images=5, class_prompt="an X-ray")
    first, again = (make_class_images(config, "m", sample, store) for _ in range(2))
    assert len(calls) == 1 and calls[0][0] == ["an X-ray"] * 5 and len(set(calls[0][1])) == 5
    assert np.array_equal(first.pixels, again.pixels) and first.captions == again.captions == ["an X-ray"] * 5
    make_class_images(config.model_copy(update={"learning_rate": 0.5}), "m", sample, store)
    assert len(calls) == 1
    make_class_images(config, "another model", sample, store)
    make_class_images(config.model_copy(update={"seed": 1}), "m", sample, store)
    assert len(calls) == 3 and calls[0][1] == calls[1][1] != calls[2][1]
