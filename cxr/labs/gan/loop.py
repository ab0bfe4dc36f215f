"""Generator against discriminator; the state between two epochs is all that a restart needs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.classify.small_cnn import pixels_to_input
from cxr.errors import BadInput
from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.networks import Discriminator, Generator, one_hot

Metrics = dict[str, float]
LOSSES_AND_ACCURACIES = ("discriminator_loss", "generator_loss", "real_accuracy", "fake_accuracy")


class Trainer:
    """Trains a generator and a discriminator, an epoch at a time.

    Args:
        pixels: uint8 [N, 28, 28], the train part.
        labels: class numbers int64 [N].
        classes: how many there are.

    Raises:
        BadInput: a batch takes more pictures than there are.
    """

    def __init__(self, config: GanConfig, pixels: np.ndarray, labels: np.ndarray, classes: int) -> None:
        if config.batch_size > len(pixels):
            raise BadInput(f"--batch-size {config.batch_size}: more than the {len(pixels)} pictures to train on")
        self.config, self.pixels, self.labels = config, pixels, labels
        self.conditioned_classes = classes if config.conditional else 0  # 0: not conditional
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator = Generator(config.noise_dim, config.width, self.conditioned_classes)
            self.discriminator = Discriminator(config.width, self.conditioned_classes)
        self.parts = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimizers = {
            name: torch.optim.Adam(part.parameters(), config.learning_rate, betas=(config.beta1, 0.999))
            for name, part in self.parts.items()
        }
        self.done = 0  # epochs

    def epoch(self) -> Metrics:
        """Every picture once, but for what does not fill a batch; returns the means over its steps.

        Raises:
            BadInput: a loss is no number any more.
        """
        rng = np.random.default_rng([self.config.seed, self.done])
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        order, size = rng.permutation(len(self.pixels)), self.config.batch_size
        starts = range(0, len(order) - size + 1, size)
        means = torch.stack([self.step(order[start : start + size], noise) for start in starts]).mean(dim=0)
        if not torch.isfinite(means).all():
            raise BadInput(f"epoch {self.done + 1}: a loss is not a number any more; lower --learning-rate")
        self.done += 1
        return {"epoch": self.done, **dict(zip(LOSSES_AND_ACCURACIES, means.tolist(), strict=True))}

    def step(self, rows: np.ndarray, noise: torch.Generator) -> Tensor:
        """One update of both networks; `LOSSES_AND_ACCURACIES` as float [4]."""
        real, asked = pixels_to_input(self.pixels[rows]), one_hot(self.labels[rows], self.conditioned_classes)
        fake = self.generator(torch.randn(len(rows), self.config.noise_dim, generator=noise), asked)
        on_real, on_fake = self.discriminator(real, asked), self.discriminator(fake.detach(), asked)
        smoothed = 1 - self.config.label_smoothing
        discriminator_loss = bce_to(on_real, smoothed) + bce_to(on_fake, 0.0)
        self.update("discriminator", discriminator_loss)
        generator_loss = bce_to(self.discriminator(fake, asked), 1.0)  # the non-saturating loss, Goodfellow 2014
        self.update("generator", generator_loss)
        right = (on_real > 0).float().mean(), (on_fake < 0).float().mean()
        return torch.stack([discriminator_loss, generator_loss, *right]).detach()

    def update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

    def state_dict(self) -> dict[str, Any]:
        """References to all that changes from epoch to epoch; loads with `weights_only=True`."""
        held: dict[str, dict[str, Any]] = {"parts": self.parts, "optimizers": self.optimizers}
        return {"epoch": self.done} | {
            kind: {name: each.state_dict() for name, each in group.items()} for kind, group in held.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        for kind, group in (("parts", self.parts), ("optimizers", self.optimizers)):
            for name, each in group.items():
                each.load_state_dict(state[kind][name])
        self.done = state["epoch"]


def bce_to(logits: Tensor, wanted: float) -> Tensor:
    """Mean binary cross-entropy to one probability."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, wanted))


def train(trainer: Trainer, report: Callable[[Metrics], None], keep: Callable[[], None]) -> None:
    """Epochs until the end; a trainer that has finished is left as it is.

    Args:
        report: gets the metrics of every epoch.
        keep: stores a checkpoint, every so many epochs and after the last.
    """
    epochs, every = trainer.config.epochs, trainer.config.checkpoint_every
    while trainer.done < epochs:
        report(trainer.epoch())
        if trainer.done % every == 0 or trainer.done == epochs:
            keep()
