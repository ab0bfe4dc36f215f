"""The sampler: one seed, one picture, whatever else is in the batch; LoRAs act; broken numbers are an error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler, to_gray

CONFIG = SamplerConfig(size=64, steps=2, batch=4, guidance=3.0)
PROMPTS = [f"Chest X-ray number {i}" for i in range(6)]
NO = [""] * 6


@pytest.fixture(scope="module")
def sampler(random_model: Path) -> Sampler:
    return Sampler.load(random_model, None, CONFIG)


def test_pictures_do_not_depend_on_how_often_they_are_made(sampler: Sampler) -> None:
    first = sampler(PROMPTS, NO, range(6))
    assert first.shape == (6, 64, 64)
    assert first.dtype == np.uint8
    assert np.array_equal(first, sampler(PROMPTS, NO, range(6)))
    assert len({picture.tobytes() for picture in first}) == 6


def test_a_short_batch_is_padded_in_compute_and_trimmed(sampler: Sampler) -> None:
    short = sampler(PROMPTS[:1], NO[:1], [0])
    full = sampler(PROMPTS[:4], NO[:4], range(4))
    assert short.shape == (1, 64, 64)
    assert np.array_equal(short[0], full[0])


def test_seed_prompt_and_negative_prompt_each_change_the_picture(sampler: Sampler) -> None:
    base = sampler(PROMPTS[:1], [""], [0])
    for other in (
        sampler(PROMPTS[:1], [""], [1]),
        sampler(PROMPTS[1:2], [""], [0]),
        sampler(PROMPTS[:1], ["blurred"], [0]),
    ):
        assert not np.array_equal(base, other)


def test_a_lora_acts_as_strongly_as_its_scale_says(random_model: Path, sampler: Sampler, tmp_path: Path) -> None:
    lora = make_lora(random_model, tmp_path)
    base = sampler(PROMPTS[:4], NO[:4], range(4))
    with_lora = Sampler.load(random_model, lora, CONFIG)(PROMPTS[:4], NO[:4], range(4))
    without = Sampler.load(random_model, lora, CONFIG.model_copy(update={"lora_scale": 0.0}))(
        PROMPTS[:4], NO[:4], range(4)
    )
    assert np.abs(with_lora.astype(int) - base).max() > 1
    assert np.abs(without.astype(int) - base).max() <= 1


def make_lora(model: Path, folder: Path) -> Path:
    """A LoRA on the UNet's attention as diffusers saves it, with weights large enough to be seen."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, local_files_only=True)
    pipe.unet.add_adapter(LoraConfig(r=4, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v"]))
    state = {name: 10 * value for name, value in get_peft_model_state_dict(pipe.unet).items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=state)
    return folder / "pytorch_lora_weights.safetensors"


def test_gray_is_the_mean_of_the_channels_and_refuses_what_is_no_number() -> None:
    pixels = torch.tensor([0.0, 0.5, 1.0])[None, :, None, None].expand(1, 3, 2, 2)
    assert (to_gray(pixels) == 128).all()
    with pytest.raises(FloatingPointError, match="not numbers"):
        to_gray(torch.full((1, 3, 2, 2), float("nan")))


def test_an_estimate_of_the_time_is_positive(sampler: Sampler) -> None:
    assert sampler.seconds_an_image() > 0
