"""How well a diffusion model denoises pictures, with the noise always the same: what tells it who was in its training.

A model's error at a picture is lower where the picture was trained on, but pictures differ in how hard they are. What
training took off the base model's error does not: that is the first score. Beside it stand the error alone (Matsumoto
et al. 2023, arXiv:2302.03262) and PIA, which takes for noise what the model itself sees in the clean picture (Kong et
al. 2024, arXiv:2305.18355).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from cxr.diffusion.family import DiffusionModel
    from cxr.weights import Weights

TIMES, NOISES = 8, 2  # time steps, spread evenly over the schedule, and noises at each
BATCH = 16  # pictures in one pass
RELATIVE, PLAIN, PIA = "error against the base's", "error", "PIA"


@dataclass(frozen=True)
class ModelErrors:
    """Mean squared errors of a model, of N pictures."""

    plain: np.ndarray  # float64 [N, TIMES x NOISES], of the training's target
    proximal: np.ndarray  # float64 [N, TIMES], the same with the noise of PIA; of a base [N, 0], as nobody asks for it


def load_model(base: "Weights", tuned: "Weights | None" = None) -> "DiffusionModel":
    """The base, or what was fine-tuned from it: a LoRA on it, or a whole model. In full precision, as differences are
    small."""
    import torch

    from cxr.diffusion.family import family_of

    whole = base if tuned is None or tuned.path.is_file() else tuned
    family = family_of(whole.path)
    lora = family.read_lora(whole.path, tuned.path) if tuned is not None and whole is base else None
    return family.load(whole.path, torch.float32, lora)


def measure_errors(
    model: "DiffusionModel", pixels: np.ndarray, captions: Sequence[str], seed: int, advance: Callable[[int], object],
    *, base: bool = False,
) -> ModelErrors:  # fmt: skip
    """Of pictures, uint8 [N, S, S], with these captions; noises follow from the seed.

    Args:
        advance: hears the pictures.
        base: the model is one that another is held against.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    noises = torch.randn((NOISES, *model.latent_shape(*pixels.shape[1:])), generator=generator).to(model.device)
    model.encode_ahead(captions)
    plain, proximal = [], []
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            rows = slice(start, start + BATCH)
            moments = model.encode_images(pixels[rows]).to(model.device)
            states = model.encode_texts(captions[rows])
            draws = [noise.expand_as(moments[:, 0]) for noise in noises]
            plain.append(errors_over_time(model, moments, draws, states))
            own = [] if base else [model.predict_clean_noise(moments, states)]
            proximal.append(errors_over_time(model, moments, own, states))
            advance(len(moments))
    return ModelErrors(np.concatenate(plain), np.concatenate(proximal))


def errors_over_time(
    model: "DiffusionModel", moments: "Tensor", noises: Sequence["Tensor"], states: "Tensor"
) -> np.ndarray:
    """Of one batch, float64 [B, TIMES x noises]; latents are the means of their moments."""
    import torch

    middle, found = torch.zeros_like(moments[:, 0]), np.empty((len(moments), TIMES, len(noises)))
    for number in range(TIMES):
        times = torch.full((len(moments),), (2 * number + 1) * model.timesteps // (2 * TIMES), device=model.device)
        for place, noise in enumerate(noises):
            found[:, number, place] = model.denoising_errors(moments, middle, noise, times, states).cpu().numpy()
    return found.reshape(len(found), TIMES * len(noises))


def score_pictures(base: ModelErrors, tuned: ModelErrors) -> dict[str, np.ndarray]:
    """float [N] by name, each higher where a picture was trained on."""
    return {
        RELATIVE: ((base.plain - tuned.plain) / base.plain).mean(axis=1),
        PLAIN: -tuned.plain.mean(axis=1),
        PIA: -tuned.proximal.mean(axis=1),
    }
