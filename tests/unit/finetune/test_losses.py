"""The objective against a computation by hand, and what is remembered."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.errors import BadInput
from cxr.finetune.losses import TensorCache


class Constant:
    """A UNet whose answer is always the same number; remembers its input."""

    dtype = torch.float32

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, noisy, times, hidden):
        self.noisy = noisy
        return type("Answer", (), {"sample": torch.full_like(noisy, self.value)})


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_errors_are_those_of_the_formula(prediction: str) -> None:
    chance = torch.Generator().manual_seed(0)
    latents, noise = torch.randn((2, 3, 4, 4, 4), generator=chance)
    times, unet = torch.tensor([0, 500, 999]), Constant(0.25)
    vae = SimpleNamespace(config=SimpleNamespace(scaling_factor=0.5))
    scheduler = DDPMScheduler(prediction_type=prediction)
    model = StableDiffusion(SimpleNamespace(device=torch.device("cpu"), unet=unet, vae=vae, scheduler=scheduler))
    moments = torch.stack([latents, torch.ones_like(latents)], 1)
    errors = model.denoising_errors(moments, latents, noise, times, torch.zeros(3, 1, 1))
    betas = np.linspace(1e-4, 0.02, 1000)
    alphas = np.cumprod(1 - betas)
    for i, t in enumerate(times):
        a, s = np.sqrt(alphas[t]), np.sqrt(1 - alphas[t])
        x, e = latents[i].numpy(), noise[i].numpy()
        target = e if prediction == "epsilon" else a * e - s * x
        np.testing.assert_allclose(unet.noisy[i], a * x + s * e, atol=1e-5)
        assert errors[i].item() == pytest.approx(np.mean((0.25 - target) ** 2), rel=1e-4)


def test_class_pictures_weigh_as_much_as_the_prior_says(trainer, bars) -> None:
    made = trainer(classes=bars(3, 20), prior_weight=0.25, caption_dropout=0.0)
    batch = made.draw_schedule.batch(0, range(2))
    assert max(batch.rows[:2]) < 12 <= min(batch.rows[2:])
    with torch.no_grad():
        errors = made.objective.errors(batch)
    assert made.backward() == pytest.approx((errors[:2].mean() + 0.25 * errors[2:].mean()).item(), rel=1e-5)


def test_a_model_that_predicts_something_else_is_refused(trainer) -> None:
    model = StableDiffusion(trainer().model.pipe)
    model.pipe.scheduler = DDPMScheduler(prediction_type="sample")
    with pytest.raises(BadInput, match="predicts 'sample'"):
        _ = model.timesteps


def test_each_key_is_made_once_where_results_are_kept() -> None:
    asked: list[list[int]] = []

    def make(keys: list[int]) -> torch.Tensor:
        asked.append(keys)
        return torch.tensor(keys).float()[:, None]

    keeping, not_keeping = TensorCache(make, keep=True), TensorCache(make, keep=False)
    for keys in ([3, 1, 3], [1, 2]):
        assert torch.equal(keeping(keys), not_keeping(keys))
    assert asked == [[3], [1], [3, 1, 3], [2], [1, 2]]


def test_what_is_kept_does_not_depend_on_the_batch_that_it_first_came_in() -> None:
    """Else a killed training, which meets them in other batches, would go on with other last bits."""
    kept = TensorCache(lambda keys: torch.full((len(keys), 1), float(len(keys))), keep=True)  # by how many there were
    assert kept(["a", "b", "a"]).tolist() == [[1.0]] * 3 and kept(["c", "a"]).tolist() == [[1.0]] * 2


def test_mirrored_pictures_have_moments_of_their_own(trainer) -> None:
    objective = trainer().objective
    objective.images.pixels[0, :, :20] = 0
    plain, mirrored = objective.encode([(0, False), (0, True)])
    objective.images.pixels[0] = objective.images.pixels[0, :, ::-1].copy()
    torch.testing.assert_close(objective.encode([(0, False)])[0], mirrored)
    assert not torch.allclose(plain, mirrored)
