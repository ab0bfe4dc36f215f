"""The embedded model distilled in this process, by the recipe `distill`, from captions of the templates."""

from pathlib import Path

import numpy as np
import torch

from cxr import recipes
from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.distill import Trajectories, draw_noise, follow_teacher, landing_distance, pick_captions
from cxr.finetune.distill_worker import PIECE, DistillTrainer
from cxr.progress import progress
from cxr.prompts.findings import FINDINGS
from cxr.prompts.templates import template_prompts
from cxr.tables import batched
from cxr.weights import resolve

HELD_OUT = 48  # noises


def base() -> StableDiffusion:
    return StableDiffusion.load(resolve("tiny").path, torch.float32)


def captions_of(count: int) -> list[str]:
    """Of all findings alike."""
    return [prompt for finding in FINDINGS for prompt in template_prompts(finding, -(-count // len(FINDINGS)), 5)]


def distil(work: Path, few: int, seed: int, **fields: object) -> Path:
    """The folder of the model that samples in so many steps; trained, if it is not there."""
    config = recipes.replace_fields(recipes.FINETUNE["distill"](), steps=few, seed=seed, **fields)
    folder = work / f"distilled-{few}-seed-{seed}-{config.noises}-{config.max_train_steps}"
    if (folder / "model_index.json").is_file():
        return folder
    model = base()
    paths, held_out = (followed(work, model, config, part) for part in ("train", "validation"))
    print(f"{few} steps of the base, unguided, end {landing_distance(model, held_out, few, 16):.4f} from where it does")
    trainer = DistillTrainer(model, config, paths)
    with progress(f"distil to {few}", trainer.steps, "steps") as advance:
        while not trainer.finished:
            advance(1, f"loss {trainer.step()['loss']:.4f}")
    with trainer.averaged():
        print(f"{few} steps of the student end {landing_distance(model, held_out, few, 16):.4f} from there", flush=True)
        model.save(config, folder)
    return folder


def followed(work: Path, model: DiffusionModel, config: FinetuneConfig, part: str) -> Trajectories:
    """The base's ways, a piece a time, each kept."""
    asked = pick_captions(captions_of(config.noises), config) if part == "train" else captions_of(HELD_OUT)[:HELD_OUT]
    numbers, pieces = range(len(asked)), []
    with progress(f"follow, {part}", len(asked), "noises") as advance:
        for piece in batched(numbers, PIECE):
            kept = work / f"way-{part}-{len(asked)}-seed-{config.seed}-{piece[0]:06d}.npy"
            if not kept.is_file():
                noise = draw_noise(config, part, piece, model.latent_shape(config.size, config.size))
                save_whole(kept, follow_teacher(
                    model, [asked[number] for number in piece], noise, config.guidance, torch.float32
                ))  # fmt: skip
            pieces.append(np.load(kept))
            advance(len(piece))
    return Trajectories(np.concatenate(pieces), asked)


def save_whole(path: Path, values: np.ndarray) -> None:
    """Appears when it is whole, so that a run that was cut off goes on from what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half.npy")
    np.save(half, values)
    half.rename(path)
