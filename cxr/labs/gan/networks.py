"""The lab's three networks, for gray pictures of 28 x 28 pixels in [-1, 1]."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxr.labs.gan.config import SIZE


class Generator(nn.Module):
    """DCGAN (Radford et al. 2016): transposed convolutions from a noise vector, over 7 and 14 pixels, and tanh.

    Args:
        classes: told to the network as a one-hot vector beside the noise; 0: none.
    """

    def __init__(self, noise_dim: int, width: int, classes: int) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(noise_dim + classes, 2 * width, SIZE // 4, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        self.apply(initialise_layer)

    def forward(self, noise: Tensor, asked: Tensor) -> Tensor:
        """float32 [B, noise_dim] and one-hot [B, classes] to pictures [B, 1, 28, 28]."""
        return self.layers(torch.cat([noise, asked], dim=1)[:, :, None, None])


class Discriminator(nn.Module):
    """Strided convolutions to one logit; above 0 it takes the picture for real. The class comes as constant maps."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1 + classes, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, SIZE // 4),
        )
        self.apply(initialise_layer)

    def forward(self, pictures: Tensor, asked: Tensor) -> Tensor:
        """float32 [B, 1, 28, 28] and one-hot [B, classes] to logits [B]."""
        maps = asked[:, :, None, None].expand(-1, -1, SIZE, SIZE)
        return self.layers(torch.cat([pictures, maps], dim=1)).flatten()


def initialise_layer(layer: nn.Module) -> None:
    """DCGAN's first weights: normal, standard deviation 0.02."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


class LeNet5(nn.Module):
    """LeCun et al. 1998, with rectifiers, largest-value pooling and a softmax over its logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(inplace=True),
            nn.Linear(120, 84), nn.ReLU(inplace=True), nn.Linear(84, classes),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """float32 [B, 1, 28, 28] to logits [B, classes]."""
        return self.head(self.features(pictures))


@torch.inference_mode()
def sample(
    generator: Generator, seeds: Sequence[int], labels: np.ndarray, classes: int, batch: int = 250
) -> np.ndarray:
    """A picture for each seed, uint8 [N, 28, 28]; the same seed and class always give the same.

    Args:
        labels: class numbers int [N] that are asked for; an unconditional generator does not see them.
        classes: how many the generator is told of; 0: none.
    """
    was_training = generator.training
    generator.eval()
    noise = torch.stack(
        [torch.randn(generator.noise_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    asked = one_hot(labels, classes)
    parts = [generator(noise[i : i + batch], asked[i : i + batch]) for i in range(0, len(seeds), batch)]
    generator.train(was_training)
    return torch.cat(parts)[:, 0].add(1).mul(127.5).round().to(torch.uint8).numpy()


def one_hot(labels: np.ndarray, classes: int) -> Tensor:
    """int [N] to float32 [N, classes]; with 0 classes an empty [N, 0]."""
    if not classes:
        return torch.zeros(len(labels), 0)
    return F.one_hot(torch.from_numpy(labels), classes).float()
