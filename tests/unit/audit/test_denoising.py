"""The scores of membership inference: against formulas, and on a miniature model that was trained on a few pictures."""

from types import SimpleNamespace

import numpy as np
import pytest

from cxr.audit import denoising
from cxr.audit.denoising import NOISES, PIA, PLAIN, RELATIVE, ModelErrors, measure_errors, score_pictures
from tests.unit.audit.conftest import Remembering

PIXELS = np.random.default_rng(0).integers(0, 255, (3, 64, 64), dtype=np.uint8)
CAPTIONS = [f"chest X-ray {number}" for number in range(len(PIXELS))]


@pytest.fixture(scope="module")
def miniature(random_model):
    import torch

    from cxr.diffusion.stable_diffusion import StableDiffusion

    torch.set_num_threads(1)
    return StableDiffusion.load(random_model, torch.float32)


def measure(model, count: int = len(PIXELS), seed: int = 0, base: bool = False) -> ModelErrors:
    return measure_errors(model, PIXELS[:count], CAPTIONS[:count], seed, lambda count: None, base=base)


def test_a_model_that_remembers_a_picture_scores_it_higher_by_each_score():
    known = {CAPTIONS[0]: int(PIXELS[0].sum()), CAPTIONS[2]: int(PIXELS[1].sum())}  # of the third another's picture
    scores = score_pictures(measure(Remembering({}), base=True), measure(Remembering(known)))
    assert np.allclose(scores[RELATIVE], [0.5, 0, 0])
    assert all(score[0] > score[1] == score[2] for score in scores.values())


def test_what_training_took_off_the_base_s_error_is_the_score():
    base = ModelErrors(np.array([[2.0, 4.0], [1.0, 1.0]]), np.ones((2, 1)))
    tuned = ModelErrors(np.array([[1.0, 3.0], [1.0, 1.5]]), np.array([[0.5], [2.0]]))
    scores = score_pictures(base, tuned)
    assert np.allclose(scores[RELATIVE], [0.375, -0.25]) and np.allclose(scores[PLAIN], [-2, -1.25])
    assert np.allclose(scores[PIA], [-0.5, -2])


def test_noises_are_the_seed_s_and_batches_change_nothing(miniature, monkeypatch):
    monkeypatch.setattr(denoising, "TIMES", 2)
    whole, heard = measure(miniature), []
    assert whole.plain.shape == (3, 2 * NOISES) and whole.proximal.shape == (3, 2)
    assert np.isfinite(whole.proximal).all() and (whole.plain > 0).all()
    monkeypatch.setattr(denoising, "BATCH", 2)
    again = measure_errors(miniature, PIXELS, CAPTIONS, 0, heard.append)
    assert np.allclose(again.plain, whole.plain, rtol=1e-4) and heard == [2, 1]
    assert np.array_equal(measure(miniature, base=True).plain, again.plain)  # a base is asked for no more than these
    other = measure(miniature, count=1, seed=1)
    assert not np.allclose(other.plain, whole.plain[:1], rtol=1e-3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_noise_seen_in_a_clean_picture_is_that_of_the_formula(prediction: str):
    import torch
    from diffusers import DDPMScheduler

    from cxr.diffusion.stable_diffusion import StableDiffusion

    class Constant:
        dtype = torch.float32

        def __call__(self, latents, times, states):
            self.seen, self.times = latents, times
            return SimpleNamespace(sample=torch.full_like(latents, 0.25))

    vae, unet = SimpleNamespace(config=SimpleNamespace(scaling_factor=0.5)), Constant()
    scheduler = DDPMScheduler(prediction_type=prediction)
    model = StableDiffusion(SimpleNamespace(device=torch.device("cpu"), unet=unet, vae=vae, scheduler=scheduler))
    moments = torch.randn((3, 2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    found = model.predict_clean_noise(moments, torch.zeros(3, 1, 1))
    latents, kept = 0.5 * moments[:, 0], 1 - 1e-4  # of the first step of a schedule whose first beta is 1e-4
    assert torch.allclose(unet.seen, latents) and unet.times.tolist() == [0, 0, 0]
    velocity = (1 - kept) ** 0.5 * latents + kept**0.5 * 0.25
    assert torch.allclose(found, torch.full_like(latents, 0.25) if prediction == "epsilon" else velocity, atol=1e-5)
