"""Claim: fine-tuning lowers the Fréchet distance to another domain by at least 30 %, with a LoRA and in full.

Features of the embedded extractor; pictures made from the captions of held-out pictures of the domain, and held against
these. The floor is the distance of real pictures of other patients to them. The domain: phantoms as another scanner
shows them, and real X-rays where there are any.
"""

import io
from pathlib import Path

import cv2
import numpy as np
import torch
from _finetuned import METHODS, base, distance, recipe, sampled, tuned
from _side_by_side import verdict
from PIL import Image

from cxr.data.images import encode_png, fit_square, read_gray
from cxr.data.sources import SOURCES, SourceOptions
from cxr.data.splits import split_by_group
from cxr.embedded.phantoms import draw_phantom
from cxr.evaluate.features import tiny_extractor
from cxr.finetune.batches import CaptionedImages
from cxr.prompts.templates import describe_attributes
from cxr.report.contact_sheet import contact_sheet

GOAL = 0.30
TRAINED, HELD_OUT = 500, 200
REAL = Path(__file__).parents[2] / "shared" / "data" / "nih-cxr" / "manifest.csv"
OUT = Path(__file__).parents[1] / "out" / "finetune_domain"


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    cuts = measure_domain("phantoms of another scanner", *other_scanner())
    if REAL.is_file():
        cuts += measure_domain("real X-rays (NIH ChestX-ray8)", *real_xrays())
    verdict(min(cuts) >= GOAL, f"{min(cuts):.0%} lower at least (goal {GOAL:.0%})")


def measure_domain(domain: str, train: CaptionedImages, floor: np.ndarray, held_out: CaptionedImages) -> list[float]:
    """How much lower the distance is after fine-tuning, for each method."""
    extractor, prompts = tiny_extractor(), held_out.captions
    made = {"base model": sampled(base(), prompts)}
    for name, method in METHODS.items():
        made[name] = sampled(tuned(recipe(**method), train), prompts)
    far = {name: distance(extractor, held_out.pixels, pixels) for name, pixels in made.items()}
    near = distance(extractor, held_out.pixels, floor)
    print(f"{domain}: {len(train)} to train on, {len(held_out)} held out")
    print(f"  floor (real against real, {len(floor)}) {near:.2f}")
    for name, value in far.items():
        print(f"  {name} {value:.2f} ({1 - value / far['base model']:.0%} lower)")
    rows = {"held out": held_out.pixels} | made
    sheet = contact_sheet({name: [encode_png(p) for p in pixels[:8]] for name, pixels in rows.items()})
    Image.open(io.BytesIO(sheet)).save(OUT / f"{domain.split()[0]}.png")
    return [1 - far[name] / far["base model"] for name in METHODS]


def other_scanner() -> tuple[CaptionedImages, np.ndarray, CaptionedImages]:
    drawn = [draw_phantom(77, number) for number in range(TRAINED + 2 * HELD_OUT)]
    rng = np.random.default_rng(7)
    pixels = np.stack([as_other_scanner(p.pixels) for p in drawn])
    captions = [describe_attributes(p.attributes, rng) for p in drawn]
    first, second = TRAINED, TRAINED + HELD_OUT
    return (
        CaptionedImages(pixels[:first], captions[:first]),
        pixels[first:second],
        CaptionedImages(pixels[second:], captions[second:]),
    )


def as_other_scanner(pixels: np.ndarray) -> np.ndarray:
    """Brighter and flatter, edges enhanced, a round collimator."""
    x = (pixels / 255.0) ** 0.6
    x = x + 0.8 * (x - cv2.GaussianBlur(x, (0, 0), 2.0))
    rows, columns = np.mgrid[-1:1:128j, -1:1:128j]
    x = np.where(rows**2 + columns**2 < 1.25, 0.15 + 0.75 * x, 0.0)
    return (255 * x.clip(0, 1)).round().astype(np.uint8)


def real_xrays() -> tuple[CaptionedImages, np.ndarray, CaptionedImages]:
    """By patient: a half to train on, a quarter for the floor, a quarter held out."""
    rows = list(SOURCES["table"](str(REAL), SourceOptions(notes=lambda line: None)))
    split = split_by_group(
        [r.labels.present for r in rows], [r.patient_id for r in rows], (0.5, 0.25, 0.25), folds=0
    ).split
    pixels = np.stack([fit_square(read_gray(row.load()), 128, "keep") for row in rows])
    captions = [f"chest X-ray showing {row.finding}, {row.view} view" for row in rows]
    train, floor, held_out = (np.flatnonzero(np.array(split) == p) for p in ("train", "validation", "test"))
    told = [CaptionedImages(pixels[part], [captions[i] for i in part]) for part in (train, held_out)]
    return told[0], pixels[floor], told[1]


if __name__ == "__main__":
    main()
