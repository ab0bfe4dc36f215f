"""What one of two training workers does, alone: every weight of the embedded UNet, steps of a batch of phantoms."""

import numpy as np
import torch
from _plain_pair import Work

from cxr import recipes
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.embedded.phantoms import draw_phantom
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer
from cxr.prompts.templates import describe_attributes
from cxr.ranks import Ranks
from cxr.weights import resolve

PICTURES, STEPS = 64, 6
CONFIG = recipes.replace_fields(recipes.FINETUNE["tiny"](), method="dreambooth", batch=16, train_text_encoder=False)
HALF = recipes.replace_fields(CONFIG, batch=CONFIG.batch // 2)


def trainer(config: FinetuneConfig, ranks: Ranks = Ranks()) -> Trainer:  # noqa: B008
    """Whose caches are filled: all pictures were seen once."""
    drawn, rng = [draw_phantom(9, number, size=config.size) for number in range(PICTURES)], np.random.default_rng(9)
    captions = [describe_attributes(one.attributes, rng) for one in drawn]
    pictures = CaptionedImages(np.stack([one.pixels for one in drawn]), captions)
    made = Trainer(StableDiffusion.load(resolve("tiny").path, torch.float32), config, pictures, ranks=ranks)
    take_steps(made, PICTURES // config.batch)
    return made


def take_steps(one: Trainer, steps: int = STEPS) -> None:
    for _ in range(steps):
        one.step()


def prepare_half() -> Work:
    """In a process: a turn's steps of half of the batch."""
    alone = trainer(HALF)
    return lambda: take_steps(alone)
