"""Claim: a LoRA step with kept latents and text states takes at most 1 / 1.3 of the time of one that encodes anew.

Same model, pictures, draws and thread in one process, in turns; the caches are filled before the clock starts, as they
are for all but the first epoch. The losses of both sides must agree.
"""

import numpy as np
import torch
import tyro
from _side_by_side import side_by_side, verdict

from cxr import recipes
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.embedded.phantoms import draw_phantom
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer
from cxr.weights import resolve

GOAL = 1.3
STEPS = 4


def set_of(count: int, size: int) -> CaptionedImages:
    """Phantoms with a caption for each."""
    drawn = [draw_phantom(0, i, size=size) for i in range(count)]
    return CaptionedImages(np.stack([d.pixels for d in drawn]), [f"chest X-ray {i}" for i in range(count)])


class Side:
    """A trainer that makes `STEPS` steps a turn, and keeps their losses."""

    def __init__(self, config: FinetuneConfig, pictures: CaptionedImages) -> None:
        self.trainer = Trainer(StableDiffusion.load(resolve(config.model).path, torch.float32), config, pictures)
        self.losses: list[float] = []

    def __call__(self) -> None:
        self.losses += [self.trainer.step()["loss"] for _ in range(STEPS)]


def main(model: str = "tiny", size: int = 128, train_text_encoder: bool = False) -> None:
    torch.set_num_threads(1)
    config = recipes.replace_fields(
        recipes.FINETUNE["tiny"](), model=model, size=size, train_text_encoder=train_text_encoder
    )
    pictures = set_of(config.batch * STEPS, size)  # the first turn, which warms up, is the first epoch
    kept, anew = Side(config, pictures), Side(recipes.replace_fields(config, cache=False), pictures)
    sides = side_by_side(kept, anew)
    apart = max(abs(a / b - 1) for a, b in zip(kept.losses, anew.losses, strict=True))
    assert apart < 1e-3, f"the losses differ by {apart:.1e}"
    print(f"{model}, {size} px, LoRA of rank {config.rank}, batch {config.batch}, 1 thread")
    print(f"  kept {sides.our_median / STEPS:.3f} s a step, anew {sides.their_median / STEPS:.3f} s")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    print(f"  losses of {len(kept.losses)} steps differ by at most {apart:.1e}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times the steps a second (at least {GOAL})")


if __name__ == "__main__":
    tyro.cli(main)
