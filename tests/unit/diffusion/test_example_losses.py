"""The loss of diffusers' own training examples, for the same batch, noise and time steps, written out side by side.

Stable Diffusion XL: examples/text_to_image/train_text_to_image_lora_sdxl.py. Stable Diffusion 3:
examples/dreambooth/train_dreambooth_lora_sd3.py with `--precondition_outputs 0`, whose other value weighs each error by
the square of its sigma. Sana: examples/dreambooth/train_dreambooth_lora_sana.py. PixArt-Sigma has no such example in
diffusers; its loss is that of its authors' train_scripts/train_pixart_lora_hf.py.
"""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3
from torch import Tensor
from torch.nn import functional as F

from cxr.diffusion.noising import Denoising, RectifiedFlow
from cxr.errors import BadInput
from cxr.finetune.batches import CaptionedImages

ROWS = 2


def sdxl_loss(pipe: Any, latents: Tensor, captions: list[str], noise: Tensor, times: Tensor) -> Tensor:
    model_input = latents * pipe.vae.config.scaling_factor
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    noisy_model_input = scheduler.add_noise(model_input, noise, times)
    add_time_ids = torch.tensor([[64, 64, 0, 0, 64, 64]] * ROWS, dtype=torch.float32)  # size, crop, target size
    prompt_embeds_list = []
    for tokenizer, text_encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
        ids = tokenizer(
            captions, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        ).input_ids
        prompt_embeds = text_encoder(ids, output_hidden_states=True, return_dict=False)
        pooled_prompt_embeds = prompt_embeds[0]
        prompt_embeds_list.append(prompt_embeds[-1][-2])
    added = {"time_ids": add_time_ids, "text_embeds": pooled_prompt_embeds.view(ROWS, -1)}
    embeds = torch.concat(prompt_embeds_list, dim=-1)
    model_pred = pipe.unet(noisy_model_input, times, embeds, added_cond_kwargs=added, return_dict=False)[0]
    return F.mse_loss(model_pred.float(), noise.float(), reduction="mean")


def flow_loss(
    scheduler: FlowMatchEulerDiscreteScheduler, transformer: Any, model_input: Tensor, noise: Tensor, times: Tensor,
    scheme: str, **told: Any,
) -> Tensor:  # fmt: skip
    """Common to both examples. Ours counts time steps from the cleanest, diffusers' from the noisiest."""
    indices = scheduler.config.num_train_timesteps - 1 - times
    timesteps = scheduler.timesteps[indices]
    sigmas = scheduler.sigmas[indices].view(-1, 1, 1, 1)
    noisy_model_input = (1.0 - sigmas) * model_input + sigmas * noise
    model_pred = transformer(hidden_states=noisy_model_input, timestep=timesteps, return_dict=False, **told)[0]
    weighting = compute_loss_weighting_for_sd3(weighting_scheme=scheme, sigmas=sigmas)
    target = noise - model_input
    return torch.mean((weighting.float() * (model_pred.float() - target.float()) ** 2).reshape(ROWS, -1), 1).mean()


def sd3_loss(pipe: Any, latents: Tensor, captions: list[str], noise: Tensor, times: Tensor) -> Tensor:
    model_input = (latents - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
    embeds, _, pooled, _ = pipe.encode_prompt(captions, captions, captions, do_classifier_free_guidance=False)
    return flow_loss(pipe.scheduler, pipe.transformer, model_input, noise, times, "logit_normal",
                     encoder_hidden_states=embeds, pooled_projections=pooled)  # fmt: skip


def sana_loss(pipe: Any, latents: Tensor, captions: list[str], noise: Tensor, times: Tensor) -> Tensor:
    """The example takes sigmas without shift; with the shift that the model was trained and is sampled with."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=pipe.scheduler.config.flow_shift)
    instruction = inspect.signature(type(pipe).__call__).parameters["complex_human_instruction"].default
    embeds, mask, _, _ = pipe.encode_prompt(
        captions, do_classifier_free_guidance=False, complex_human_instruction=instruction
    )
    model_input = latents * pipe.vae.config.scaling_factor
    return flow_loss(scheduler, pipe.transformer, model_input, noise, times, "none",
                     encoder_hidden_states=embeds, encoder_attention_mask=mask)  # fmt: skip


def pixart_loss(pipe: Any, latents: Tensor, captions: list[str], noise: Tensor, times: Tensor) -> Tensor:
    model_input = latents * pipe.vae.config.scaling_factor
    noisy = DDPMScheduler.from_config(pipe.scheduler.config).add_noise(model_input, noise, times)
    ids = pipe.tokenizer(captions, max_length=300, padding="max_length", truncation=True, return_tensors="pt")
    embeds = pipe.text_encoder(ids.input_ids, attention_mask=ids.attention_mask)[0]
    added = {"resolution": None, "aspect_ratio": None}
    model_pred = pipe.transformer(
        noisy, encoder_hidden_states=embeds, encoder_attention_mask=ids.attention_mask, timestep=times,
        added_cond_kwargs=added,
    ).sample.chunk(2, 1)[0]  # fmt: skip
    return F.mse_loss(model_pred.float(), noise.float(), reduction="mean")


EXAMPLES = {
    "StableDiffusionXLPipeline": sdxl_loss,
    "StableDiffusion3Pipeline": sd3_loss,
    "PixArtSigmaPipeline": pixart_loss,
    "SanaPipeline": sana_loss,
}


@torch.no_grad()
def test_the_loss_is_that_of_the_example(folder: Path, load, bars: CaptionedImages) -> None:
    pipe, model = DiffusionPipeline.from_pretrained(folder, local_files_only=True), load()
    captions, chance = [text.lower() for text in bars.captions[:ROWS]], torch.Generator().manual_seed(0)
    moments = model.encode_images(bars.pixels[:ROWS])
    draw, noise = torch.randn((2, ROWS, *moments.shape[2:]), generator=chance)
    latents = moments[:, 0] + draw * moments[:, 1]
    times = torch.tensor([37, 820])
    ours = model.denoising_errors(moments, draw, noise, times, model.encode_texts(captions)).mean()
    theirs = EXAMPLES[type(pipe).__name__](pipe, latents, captions, noise, times)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_times_of_a_flow_are_drawn_as_in_the_example_of_stable_diffusion_3() -> None:
    flow, chance = RectifiedFlow({"shift": 3.0}), torch.Generator().manual_seed(0)
    ours = np.array([flow.draw_time(chance) for _ in range(4000)]) / flow.timesteps
    u = compute_density_for_timestep_sampling("logit_normal", 4000, 0.0, 1.0, generator=chance).numpy()
    assert np.abs(np.quantile(ours, np.arange(1, 10) / 10) - np.quantile(u, np.arange(1, 10) / 10)).max() < 0.02
    assert ours.min() >= 0 and ours.max() < 1
    even = np.array([Denoising({}).draw_time(chance) for _ in range(2)])
    assert (even >= 0).all() and (even < 1000).all()


def test_a_flow_sees_the_noise_that_was_added_and_times_rise_with_it() -> None:
    flow, chance = RectifiedFlow({"flow_shift": 3.0, "prediction_type": "flow_prediction"}), torch.Generator()
    latents, noise = torch.randn((2, 1, 4, 2, 2), generator=chance.manual_seed(0))
    first = torch.tensor([0])
    noisy = flow.add_noise(latents, noise, first)
    torch.testing.assert_close(flow.clean_noise(noisy, flow.target(latents, noise, first)), noise)
    assert (flow.sigmas.diff() > 0).all() and flow.sigmas[-1] == 1
    torch.testing.assert_close(flow.told(torch.arange(1000)) / 1000, flow.sigmas)
    with pytest.raises(BadInput, match="predicts 'epsilon'"):
        RectifiedFlow({"prediction_type": "epsilon"})
