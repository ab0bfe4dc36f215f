"""Claim: two workers train at least 1.6 times as fast as one, one thread each, with the same batch.

The same steps in turns in one pair of Ray Train workers: by one of them alone while the other waits, and by both.
"""

import time

import numpy as np
import torch
import torch.distributed as dist
from _side_by_side import TURNS, Sides, verdict

from cxr import cluster, recipes
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.embedded.phantoms import draw_phantom
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer
from cxr.prompts.templates import describe_attributes
from cxr.ranks import Ranks
from cxr.weights import resolve

GOAL = 1.6
PICTURES, STEPS = 64, 6
CONFIG = recipes.replace_fields(recipes.FINETUNE["tiny"](), method="dreambooth", batch=16, train_text_encoder=False)


def main() -> None:
    with cluster.session(2):
        (told,) = cluster.train(work, (2, 2), 1)
    sides = Sides(told["two"], told["one"])
    print(f"every weight of the UNet, batch {CONFIG.batch}, {STEPS} steps a turn")
    print(f"  two workers {sides.our_median / STEPS:.3f} s a step, one {sides.their_median / STEPS:.3f} s")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times as fast (at least {GOAL})")


def work(tell: cluster.SendMessage) -> None:
    torch.set_num_threads(1)
    pictures, ranks = draw(CONFIG), Ranks.here()
    trainers = {
        "one": Trainer(StableDiffusion.load(resolve("tiny").path, torch.float32), CONFIG, pictures),
        "two": Trainer(StableDiffusion.load(resolve("tiny").path, torch.float32), CONFIG, pictures, ranks=ranks),
    }
    seconds: dict[str, list[float]] = {"one": [], "two": []}
    for turn in range(-1, TURNS):  # the first one fills the caches
        for name in sorted(trainers, reverse=turn % 2 == 1):
            dist.barrier()
            start = time.perf_counter()
            if name == "two" or ranks.rank == 0:
                for _ in range(STEPS if turn >= 0 else PICTURES // CONFIG.batch):
                    trainers[name].step()
            dist.barrier()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    if ranks.rank == 0:
        tell(seconds)


def draw(config: FinetuneConfig) -> CaptionedImages:
    drawn, rng = [draw_phantom(9, number, size=config.size) for number in range(PICTURES)], np.random.default_rng(9)
    return CaptionedImages(np.stack([p.pixels for p in drawn]), [describe_attributes(p.attributes, rng) for p in drawn])


if __name__ == "__main__":
    main()
