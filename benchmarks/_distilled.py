"""The embedded model distilled in this process to a LoRA, as the package holds one: captions are drawn as those that
the model was trained with, and the LoRA is left in half precision."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cxr import recipes
from cxr.diffusion.adapters import sort_metadata
from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.distill import Trajectories, draw_noise, follow_teacher, landing_distance
from cxr.finetune.distill_worker import PIECE, DistillTrainer
from cxr.finetune.loop import load_checkpoint, save_checkpoint
from cxr.pretrain.text import sample_captions
from cxr.progress import progress
from cxr.tables import batched
from cxr.weights import resolve
from cxr.weights.kinds import LORA_FILE

HELD_OUT, SEVERAL = 48, 0.25  # noises; share of captions that name several patterns
WAYS_SEED = 1  # of the noises and captions, which all training seeds share
KEEP_EVERY = 20  # steps


def base() -> StableDiffusion:
    return StableDiffusion.load(resolve("tiny").path, torch.float32)


def distil(work: Path, few: int, seed: int, **fields: object) -> Path:
    """The LoRA with which the embedded model samples in so many steps; trained, if it is not there."""
    config = recipes.replace_fields(recipes.FINETUNE["distill_lora"](), steps=few, seed=seed, **fields)
    folder = work / f"distilled-{few}-seed-{seed}-{config.noises}-{config.max_train_steps}"
    if (folder / LORA_FILE).is_file():
        return folder / LORA_FILE
    model = base()
    ways = recipes.replace_fields(config, seed=WAYS_SEED)
    paths, held_out = (followed(work, model, ways, part) for part in ("train", "validation"))
    print(f"{few} steps of the base, unguided, end {landing_distance(model, held_out, few, 16):.4f} from where it does")
    trainer = DistillTrainer(model, config, paths)
    kept = work / f"{folder.name}.checkpoint"
    if kept.is_file():
        load_checkpoint(trainer, kept)
    with progress(f"distil to {few}", trainer.steps, "steps", trainer.done) as advance:
        while not trainer.finished:
            advance(1, f"loss {trainer.step()['loss']:.4f}")
            if trainer.done % KEEP_EVERY == 0:
                put_whole(kept, lambda half: save_checkpoint(trainer, half))
    with trainer.averaged():
        print(f"{few} steps of the student end {landing_distance(model, held_out, few, 16):.4f} from there", flush=True)
        model.save(config, folder)
    put_whole(folder / LORA_FILE, lambda half: to_half(folder / LORA_FILE, half))
    return folder / LORA_FILE


def to_half(path: Path, half: Path) -> None:
    """The LoRA at `path` in half precision, with its settings."""
    with safe_open(path, "pt") as file:
        save_file({name: file.get_tensor(name).half() for name in file.keys()}, half, file.metadata())  # noqa: SIM118
    sort_metadata(half)


def followed(work: Path, model: DiffusionModel, config: FinetuneConfig, part: str) -> Trajectories:
    """The base's ways, a piece a time, each kept."""
    count = config.noises if part == "train" else HELD_OUT
    asked, _ = sample_captions(count, SEVERAL, np.random.default_rng([config.seed, count]))
    pieces = []
    with progress(f"follow, {part}", count, "noises") as advance:
        for piece in batched(range(count), PIECE):
            kept = work / f"way-{part}-{count}-seed-{config.seed}-{piece[0]:06d}.npy"
            if not kept.is_file():
                noise = draw_noise(config, part, piece, model.latent_shape(config.size, config.size))
                save_array(kept, follow_teacher(
                    model, [asked[number] for number in piece], noise, config.guidance, torch.float32
                ))  # fmt: skip
            pieces.append(np.load(kept))
            advance(len(piece))
    return Trajectories(np.concatenate(pieces), asked)


def save_array(path: Path, values: np.ndarray) -> None:
    put_whole(path, lambda half: np.save(half, values))


def put_whole(path: Path, write: Callable[[Path], object]) -> None:
    """The file appears when it is whole, so that a run that was cut off goes on from what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"half-{path.name}")
    write(half)
    half.replace(path)
