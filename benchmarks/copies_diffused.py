"""Claim: of copies that diffusion makes of real X-rays, 95 % are found, at 1 % of test patients' pictures flagged.

Through the autoencoder of a model, and through its whole (img2img, Meng et al. 2022, arXiv:2108.01073) from noise of
strength 0.1 to 0.5. The embedded model has seen phantoms alone, so what it adds hides an X-ray more than what a model
of X-rays adds (`--model`, such as one that `cxr finetune` made of the same X-rays with every weight). X-rays of
nih-cxr, two thirds of the patients for training, the others set the thresholds.
"""

import csv
from pathlib import Path

import numpy as np
import torch
import tyro
from _side_by_side import verdict
from diffusers import StableDiffusionImg2ImgPipeline

from cxr.audit.duplicates import judge_planted, set_levels
from cxr.data.images import fit_square, read_gray
from cxr.detectors.details import TrainingImageIndex
from cxr.detectors.keypoints import KeyPointIndex
from cxr.detectors.matches import Matches
from cxr.diffusion.latents import to_signal
from cxr.diffusion.sampler import to_gray
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.weights import resolve

GOAL, STRENGTHS, STEPS = 0.95, (0.1, 0.2, 0.3, 0.4, 0.5), 20
NIH = Path(__file__).parents[2] / "shared" / "data" / "nih-cxr"
PROMPT, GUIDANCE = "chest X-ray", 1.0


def main(count: int = 40, model: str = "tiny") -> None:
    torch.set_num_threads(1)
    pixels, patients = read_nih()
    rng, names = np.random.default_rng(0), np.unique(patients)
    held_out = np.isin(patients, rng.choice(names, len(names) // 3, replace=False))
    train = pixels[~held_out]
    details = TrainingImageIndex(train, patients[~held_out].tolist())
    key_points = KeyPointIndex(train, np.random.default_rng(1))
    levels = [
        set_levels(details.nearest(pixels[held_out]).scores, 0.01, count, 0.01, correlations=True),
        set_levels(key_points.nearest(pixels[held_out]).scores, 0.01, count, 0.01),
    ]
    rows = rng.choice(len(train), count, replace=False)
    loaded = StableDiffusion.load(resolve(model).path, torch.float32)
    copies = {"through the VAE": through_vae(loaded, train[rows])}
    copies |= {f"img2img, strength {strength}": redrawn(loaded, train[rows], strength) for strength in STRENGTHS}
    recall = {}
    for kind, pictures in copies.items():
        found: list[Matches] = [details.nearest(pictures), key_points.nearest(pictures)]
        each = [judge_planted(one, rows, level).above_threshold for one, level in zip(found, levels, strict=True)]
        hits = [(one.rows == rows) & (one.scores > level.threshold) for one, level in zip(found, levels, strict=True)]
        recall[kind] = float(np.any(hits, axis=0).mean())
        print(f"{kind:25} details {each[0]:.2f}, key points {each[1]:.2f}, either {recall[kind]:.2f}", flush=True)
    verdict(min(recall.values()) >= GOAL, f"{min(recall.values()):.2f} at least of {count} copies a kind")


def read_nih() -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N, 128, 128] and their patients."""
    with (NIH / "manifest.csv").open(encoding="utf-8", newline="") as file:
        manifest = sorted(csv.DictReader(file), key=lambda row: row["file"])
    pixels = np.stack([fit_square(read_gray((NIH / row["file"]).read_bytes()), 128, "keep") for row in manifest])
    return pixels, np.array([row["patient_id"] for row in manifest])


@torch.inference_mode()
def through_vae(model: StableDiffusion, pixels: np.ndarray) -> np.ndarray:
    latents = model.encode_images(pixels)[:, 0]
    return to_gray((model.pipe.vae.decode(latents).sample / 2 + 0.5).clamp(0, 1))


@torch.inference_mode()
def redrawn(model: StableDiffusion, pixels: np.ndarray, strength: float) -> np.ndarray:
    """Noise of this share of the schedule is put on a picture and taken off by the model."""
    pipe = StableDiffusionImg2ImgPipeline(**model.solver.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    parts = [
        pipe(
            prompt=[PROMPT] * len(part), image=to_signal(part) / 2 + 0.5, strength=strength, num_inference_steps=STEPS,
            guidance_scale=GUIDANCE, generator=torch.Generator().manual_seed(number), output_type="pt",
        ).images
        for number, part in enumerate(np.array_split(pixels, -(-len(pixels) // 8)))
    ]  # fmt: skip
    return to_gray(torch.cat(parts))


if __name__ == "__main__":
    tyro.cli(main)
