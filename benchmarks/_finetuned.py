"""The embedded model fine-tuned in this process, sampled, and held against other pictures; shared by two claims."""

from collections.abc import Sequence

import numpy as np
import torch

from cxr import recipes
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.sampler import Sampler
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.evaluate.features import Extractor
from cxr.evaluate.frechet import frechet_distance
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer
from cxr.progress import progress
from cxr.weights import resolve

SAMPLING_STEPS = 15
METHODS = {
    "LoRA": {"method": "lora", "rank": 32, "alpha": 32, "learning_rate": 1e-3},
    "full": {"method": "dreambooth", "learning_rate": 2e-4},
}


def base() -> DiffusionModel:
    return StableDiffusion.load(resolve("tiny").path, torch.float32)


def recipe(**fields: object) -> FinetuneConfig:
    settings = {"batch": 16, "max_train_steps": 300, "warmup": 20, "train_text_encoder": False}
    return recipes.replace_fields(recipes.FINETUNE["tiny"](), **(settings | fields))


def tuned(config: FinetuneConfig, pictures: CaptionedImages, classes: CaptionedImages | None = None) -> DiffusionModel:
    """The embedded model after the recipe's steps."""
    trainer = Trainer(base(), config, pictures, classes)
    with progress(config.method, trainer.steps, "steps") as advance:
        while not trainer.finished:
            advance(1, f"loss {trainer.step()['loss']:.4f}")
    for network in trainer.model.networks:
        network.eval()
    return trainer.model


def sampled(model: DiffusionModel, prompts: Sequence[str], seed: int = 0, guidance: float = 3.0) -> np.ndarray:
    """uint8 [len(prompts), 128, 128], each from a seed of its own."""
    sampler = Sampler(model, SamplerConfig(size=128, steps=SAMPLING_STEPS, guidance=guidance, batch=16))
    parts = []
    with progress("sample", len(prompts), "pictures") as advance, torch.no_grad():
        for start in range(0, len(prompts), 16):
            some = prompts[start : start + 16]
            parts.append(sampler(some, [""] * len(some), range(seed + start, seed + start + len(some))))
            advance(len(some))
    return np.concatenate(parts)


def distance(extractor: Extractor, real: np.ndarray, other: np.ndarray) -> float:
    return frechet_distance(extractor(real), extractor(other))
