"""Training steps, features and classifiers on a GPU, each beside the field's usual way on the same pictures."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _gpu_figures import Figures
from _gpu_sampler import SamplerBench
from _side_by_side import side_by_side
from _stored import random_inception, stored
from classifier_input import usual
from finetune_cache import STEPS, set_of
from finetune_step import Script
from pytorch_fid import fid_score, inception
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import densenet121

from cxr import recipes
from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import LabelledImages, TrainingPhase, train_classifier
from cxr.classify.speed import finish_time
from cxr.classify.task import OneFinding
from cxr.data.catalog import read_unscaled
from cxr.data.images import encode_png, fit_square
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.embedded.phantoms import draw_phantom
from cxr.evaluate.features import extractor_of
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DRAWN = 16  # different phantoms; more pictures are these again
READERS = min(8, os.cpu_count() or 1)  # processes of the usual loaders


@dataclass(frozen=True)
class TrainingBench:
    sampler: SamplerBench  # whose model is trained
    batch: int  # pictures of a training step
    pictures: int  # that are looked at, and classified
    classifier: ClassifyConfig

    @property
    def folder(self) -> Path:
        return self.sampler.folder

    def phantoms(self, size: int) -> np.ndarray:
        drawn = [draw_phantom(0, number, size=size).pixels for number in range(min(DRAWN, self.pictures))]
        return np.stack(drawn)[np.arange(self.pictures) % len(drawn)]

    def step(self, channels_last: bool = False, compiled: bool = False) -> Figures:
        """Pictures a second of DreamBooth steps of every weight of the UNet, ours with what the field keeps frozen
        encoded beforehand; the script is `finetune_step.py`'s."""
        size = self.sampler.shape.size
        config = recipes.replace_fields(
            recipes.FINETUNE["tiny"](), model=str(self.sampler.model), size=size, batch=self.batch, method="dreambooth",
            train_text_encoder=False, learning_rate=1e-5,
        )  # fmt: skip
        pictures = set_of(config.batch * STEPS, size)
        folder = self.folder / "files"
        folder.mkdir(exist_ok=True)
        trainer = self.trainer(config, pictures)
        unet = trainer.model.networks[0]
        if channels_last:
            unet.to(memory_format=torch.channels_last)
        if compiled:
            unet.compile()
        sides = side_by_side(lambda: [trainer.step() for _ in range(STEPS)], Script(config, pictures, folder), 3)
        rates = [STEPS * config.batch / seconds for seconds in (sides.our_median, sides.their_median)]
        return Figures(rates[0], rates[1], "images/s", f"batch {config.batch}, {size} px, every weight of the UNet")

    def trainer(self, config: FinetuneConfig, pictures: Any) -> Trainer:
        return Trainer(StableDiffusion.load(self.sampler.model, torch.float32), config, pictures)

    def features(self) -> Figures:
        """Pictures a second from PNG files to Inception's features, by pytorch-fid and by ours."""
        weights = random_inception(self.folder)
        found = stored(str(self.folder / "set"), self.phantoms(self.sampler.shape.size))
        extractor = extractor_of(f"inception={weights}")
        with patch.object(inception, "load_state_dict_from_url", lambda *_, **__: load_file(weights)):
            network = inception.InceptionV3().to(DEVICE)
        files = [str(self.folder / "set" / key) for key in found.table["key"].to_pylist()]
        sides = side_by_side(
            lambda: extractor(read_unscaled(found.store, found.table)),
            lambda: fid_score.get_activations(files, network, 50, 2048, DEVICE, READERS),
            3,
        )
        rates = [len(files) / seconds for seconds in (sides.our_median, sides.their_median)]
        return Figures(
            rates[0], rates[1], "images/s", f"Inception, {len(files)} PNG files, pytorch-fid with {READERS} readers"
        )

    def classify(self) -> Figures:
        """Pictures a second that a classifier is trained on, in memory as ours or by ImageFolder and a usual loop."""
        config = self.classifier
        held = np.stack([fit_square(one, config.resize, "square") for one in self.phantoms(2 * config.resize)])
        labels, rows = np.arange(len(held)) % 2, np.arange(len(held))
        task = OneFinding(2)
        pictures = LabelledImages(held, task.targets(np.eye(2, dtype=np.float32)[labels]), rows[: 2 * config.batch])
        steps = len(held) // config.batch

        def ours() -> None:
            train_classifier(pictures, [TrainingPhase(rows, steps)], config, task, seed=0)

        sides = side_by_side(ours, UsualClassifier(self.folder / "classes", held, config), 3)
        rates = [steps * config.batch / seconds for seconds in (sides.our_median, sides.their_median)]
        how = f"DenseNet-121, {config.size} px, batch {config.batch}, ours validates too; {READERS} readers"
        return Figures(rates[0], rates[1], "images/s", how)


class UsualClassifier:
    """An epoch of torchvision's loader, transforms and network in a usual loop."""

    def __init__(self, folder: Path, pixels: np.ndarray, config: ClassifyConfig) -> None:
        for number, picture in enumerate(pixels):
            path = folder / f"class_{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(picture))
        data = ImageFolder(folder, usual(config))
        self.loader = DataLoader(data, config.batch, shuffle=True, num_workers=READERS, drop_last=True, pin_memory=True)
        self.network = densenet121(weights=None, num_classes=2).to(DEVICE).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate)

    def __call__(self) -> None:
        for pictures, labels in self.loader:
            loss = F.cross_entropy(self.network(pictures.to(DEVICE)), labels.to(DEVICE))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        finish_time()
