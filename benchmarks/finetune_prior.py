"""Claim: with prior preservation the other findings lose 5 points at most, and more without it.

Every weight of the embedded model's UNet is trained on pictures of one finding with one prompt, with class pictures of
the base model beside them and without. Then all three models are asked for the other nine findings in sentences that no
training prompt has, and the embedded extractor's classifier names what it sees.
"""

import numpy as np
import torch
from _finetuned import base, recipe, sampled, tuned
from _side_by_side import verdict

from cxr.embedded.phantoms import draw_phantom
from cxr.evaluate.features import Extractor, tiny_extractor
from cxr.finetune.batches import CaptionedImages
from cxr.prompts.findings import FINDINGS
from cxr.prompts.phrases import REPHRASED
from cxr.prompts.templates import template_prompts

GOAL = 5.0  # points
TAUGHT = "Pleural_Conditions"
PICTURES, CLASS_IMAGES, ASKED = 64, 64, 16
STEPS, RATE = 200, 2e-4


def main() -> None:
    torch.set_num_threads(1)
    extractor = tiny_extractor()
    drawn = [draw_phantom(78, number, (TAUGHT,)) for number in range(PICTURES)]
    prompt = f"chest X-ray showing {TAUGHT.replace('_', ' ')}"
    instances = CaptionedImages(np.stack([p.pixels for p in drawn]), [prompt] * PICTURES)
    plain = ["chest X-ray"] * CLASS_IMAGES
    classes = CaptionedImages(sampled(base(), plain, seed=10**6), plain)
    full = {"method": "dreambooth", "learning_rate": RATE, "max_train_steps": STEPS, "batch": 8}
    told = {"base model": agreement(extractor, base())}
    told["without prior"] = agreement(extractor, tuned(recipe(**full), instances))
    told["with prior"] = agreement(extractor, tuned(recipe(**full, prior_weight=1.0), instances, classes))
    for name, (others, taught) in told.items():
        print(f"  {name}: {others:.1f} % of {9 * ASKED} pictures of other findings, {taught:.1f} % of the taught one")
    lost = {name: told["base model"][0] - others for name, (others, _) in told.items()}
    points = f"{lost['with prior']:.1f} points lost with prior (at most {GOAL:g}), {lost['without prior']:.1f} without"
    verdict(lost["with prior"] <= GOAL < lost["without prior"], points)


def agreement(extractor: Extractor, pipe) -> tuple[float, float]:
    """Per cent of pictures named as they were asked for: of the other nine findings, and of the one that was taught."""
    right = {}
    for number, finding in enumerate(FINDINGS):
        pixels = sampled(pipe, list(template_prompts(finding, ASKED, 5, REPHRASED)), seed=1000 * number)
        right[finding] = (extractor.probabilities(extractor(pixels)).argmax(axis=1) == number).mean()
    return 100 * np.mean([share for finding, share in right.items() if finding != TAUGHT]), 100 * right[TAUGHT]


if __name__ == "__main__":
    main()
