"""Solvers of few steps: as diffusers has them, one seed one picture, with a LoRA in the form of the published ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.layers import UNET, read_layers
from cxr.diffusion.sampler import Sampler, to_gray

PROMPTS, NO = ["a chest", "another chest", "no chest"], [""] * 3
RANK, ALPHA = 4, 8.0


@pytest.fixture(scope="module")
def lcm_lora(random_model: Path, tmp_path_factory) -> Path:
    """Names and layers of latent-consistency/lcm-lora-sdv1-5: those of kohya, and of every layer of the UNet."""
    chance, state = torch.Generator().manual_seed(1), {}
    for layer, shape in read_layers(random_model)[UNET].items():
        stem = f"lora_unet_{layer.replace('.', '_')}"
        state[f"{stem}.lora_down.weight"] = 0.1 * torch.randn(RANK, *shape[1:], generator=chance)
        state[f"{stem}.lora_up.weight"] = torch.randn(shape[0], RANK, *[1] * (len(shape) - 2), generator=chance)
        state[f"{stem}.alpha"] = torch.tensor(ALPHA)
    path = tmp_path_factory.mktemp("lcm") / "pytorch_lora_weights.safetensors"
    save_file(state, path)
    return path


def settings(**fields) -> SamplerConfig:
    return SamplerConfig(size=64, batch=2, guidance=1.0, **fields)


@pytest.mark.parametrize(("solver", "steps"), [("lcm", 4), ("lcm", 2), ("ddim", 4)])
def test_pictures_are_those_of_diffusers(random_model: Path, lcm_lora: Path, solver: str, steps: int) -> None:
    theirs = StableDiffusionPipeline.from_pretrained(
        random_model, dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    theirs.load_lora_weights(lcm_lora.parent, weight_name=lcm_lora.name, local_files_only=True)
    kind, how = {
        "lcm": (LCMScheduler, {}),
        "ddim": (DDIMScheduler, {"timestep_spacing": "trailing", "set_alpha_to_one": True}),
    }[solver]
    theirs.scheduler = kind.from_config(theirs.scheduler.config, clip_sample=False, **how)
    sampler = Sampler.load(random_model, lcm_lora, settings(steps=steps, solver=solver))
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    noise = torch.stack([torch.randn(sampler.model.latent_shape(64, 64), generator=g) for g in generators])
    shown = theirs(
        PROMPTS[:2], latents=noise, generator=generators, num_inference_steps=steps, guidance_scale=1.0,
        height=64, width=64, output_type="pt",
    ).images  # fmt: skip
    ours = sampler(PROMPTS[:2], NO[:2], [5, 6])
    assert np.abs(ours.astype(int) - to_gray(shown)).max() <= 1 and ours.std() > 1


def test_added_noise_follows_from_the_seed_of_each_picture(random_model: Path) -> None:
    sampler = Sampler.load(random_model, None, settings(steps=3, solver="lcm"))
    torch.manual_seed(0)
    three = sampler(PROMPTS, NO, [7, 8, 9])
    assert np.array_equal(three, sampler(PROMPTS, NO, [7, 8, 9]))
    swapped = sampler(PROMPTS[::-1], NO, [9, 8, 7])[::-1]
    assert np.abs(three.astype(int) - swapped).max() <= 1
    assert not np.array_equal(three[0], sampler(PROMPTS[:1], NO[:1], [10])[0])


def test_a_recipe_with_the_usual_solver_is_called_what_it_was_before() -> None:
    assert "solver" not in SamplerConfig().model_dump(mode="json")
    assert SamplerConfig(solver="lcm").model_dump()["solver"] == "lcm"
