"""Claim: batches reach a classifier at least 15 times as fast as from PNG files through torchvision's usual loader.

Ours: decoded once into a shared array, batches augmented as tensors. Theirs: ImageFolder, DataLoader and torchvision's
transforms decode and augment every file in every epoch. The same pictures at 224 px, crop, flip, rotation and jitter,
one process and one thread each, no network.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from _side_by_side import side_by_side, verdict
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from cxr.classify.augment import augment
from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import TrainingPhase, draw_batches
from cxr.data.images import encode_png, fit_square, read_gray
from cxr.embedded.phantoms import draw_phantom

GOAL = 15.0
PICTURES, SIDE = 256, 512  # px of the files, along the longer side
CONFIG = ClassifyConfig()
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
REAL = Path(__file__).parents[2] / "shared" / "data" / "nih-cxr"


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    kind, drawn = ("real X-rays (NIH ChestX-ray8)", real()) if REAL.is_dir() else ("phantoms", phantoms())
    held = np.stack([fit_square(picture, CONFIG.resize, "square") for picture in drawn])
    folder = Path(tempfile.mkdtemp())
    try:
        sides = side_by_side(lambda: ours(held), theirs(folder, drawn))
    finally:
        shutil.rmtree(folder)
    rates = [PICTURES / seconds for seconds in (sides.our_median, sides.their_median)]
    print(f"{PICTURES} {kind}, files of {SIDE} px, batches of {CONFIG.batch} at {CONFIG.size} px, 1 thread")
    print(f"  ours {rates[0]:.0f}, ImageFolder {rates[1]:.0f} images a second")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.1f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.1f} times the images a second (at least {GOAL:g})")


def ours(held: np.ndarray) -> None:
    epoch = TrainingPhase(np.arange(PICTURES), PICTURES // CONFIG.batch)
    for rows, chances in draw_batches(epoch, CONFIG.batch, np.random.default_rng(0)):
        augment(torch.from_numpy(held[rows]), chances, CONFIG)


def theirs(folder: Path, drawn: list[np.ndarray]) -> Callable[[], object]:
    """An epoch over the same pictures as files."""
    for number, picture in enumerate(drawn):
        path = folder / f"class_{number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(picture))
    loader = DataLoader(ImageFolder(folder, usual(CONFIG)), CONFIG.batch, shuffle=True)
    return lambda: [None for _ in loader]


def usual(config: ClassifyConfig) -> transforms.Compose:
    """The transforms with which torchvision's users train."""
    return transforms.Compose([
        transforms.Resize((config.resize, config.resize)),
        transforms.RandomResizedCrop(config.size, scale=config.crop_scale),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(config.rotation),
        transforms.ColorJitter(brightness=config.jitter, contrast=config.jitter),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, DEVIATION),
    ])  # fmt: skip


def real() -> list[np.ndarray]:
    files = sorted(REAL.glob("*/*.jpg"))
    files = files[:: len(files) // PICTURES][:PICTURES]
    return [read_gray(file.read_bytes()) for file in files]


def phantoms() -> list[np.ndarray]:
    return [draw_phantom(0, number, size=SIDE).pixels for number in range(PICTURES)]


if __name__ == "__main__":
    main()
