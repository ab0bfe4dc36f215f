"""A small convolutional network that several stages use: gray pictures in, features and logits out."""

import numpy as np
import torch
from torch import Tensor, nn

WIDTHS = (24, 48, 96, 128)  # channels of the four stages, each half the side of the one before


def pixels_to_input(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W] to float32 [N, 1, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(127.5).sub_(1.0)[:, None]


def build_stage(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class SmallCnn(nn.Module):
    """Four strided convolutions, global mean and a linear layer: 0.17 M parameters, made for phantoms of 64-256 px."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(*(build_stage(i, o) for i, o in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True)))
        self.head = nn.Linear(WIDTHS[-1], classes)

    def features(self, pictures: Tensor) -> Tensor:
        """float32 [B, 1, H, W] in [-1, 1] to the mean of the last stage [B, 128]."""
        return self.stages(pictures).mean(dim=(2, 3))

    def forward(self, pictures: Tensor) -> Tensor:
        """float32 [B, 1, H, W] in [-1, 1] to logits [B, classes]."""
        return self.head(self.features(pictures))
