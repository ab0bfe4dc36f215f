"""Classifiers: gray pictures in, logits out."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision import models

from cxr.classify.config import ClassifyConfig
from cxr.classify.small_cnn import SmallCnn
from cxr.errors import BadInput
from cxr.weights import Weights, read_state, resolve_imagenet

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours in [0, 1]
HIDDEN = 512  # of DenseNet-121's head
LAST = {  # where torchvision's networks keep the layer that names classes
    "resnet18": "fc",
    "resnet50": "fc",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "vit_b_16": "heads.head",
}


def network(config: ClassifyConfig, classes: int) -> nn.Module:
    """float32 [B, 1, H, W] in [-1, 1] to logits [B, classes]. First weights are torch's draws, but for ImageNet's.

    Raises:
        BadInput: the ImageNet weights are not to be had, or are those of another network.
    """
    if config.network == "cnn":
        return SmallCnn(classes)
    if config.network == "resnet18_28":
        return small_resnet(classes)
    body = models.get_model(config.network, weights=None)
    last = LAST[config.network]
    if config.pretrained:
        load(body, last, resolve_imagenet(config.network, config.weights), config.network)
    body.set_submodule(last, head(config, body.get_submodule(last).in_features, classes))
    return OfGray(body)


class OfGray(nn.Module):
    """A network of colour photographs, shown gray pictures as it was shown those."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.body(((pictures + 1) / 2 - self.mean) / self.deviation)


def small_resnet(classes: int) -> nn.Module:
    """ResNet-18 as it is used on CIFAR and MedMNIST: its stem keeps the picture's size."""
    made = models.resnet18(num_classes=classes)
    made.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    made.maxpool = nn.Identity()
    return made


def head(config: ClassifyConfig, inputs: int, classes: int) -> nn.Module:
    if config.network != "densenet121":
        return nn.Linear(inputs, classes)
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(HIDDEN, classes)
    )  # fmt: skip


def load(body: nn.Module, last: str, found: Weights, name: str) -> None:
    """Puts the weights into all but the last layer."""
    layer = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])")  # named so when DenseNet's were published
    state = {layer.sub(r"\1\2", key): tensor for key, tensor in read_state(found).items()}
    if shapes(state, last) != shapes(body.state_dict(), last):
        raise BadInput(f"{found.path}: not weights of torchvision's {name}; give another file")
    body.load_state_dict({key: state[key] for key in shapes(state, last)}, strict=False)


def shapes(state: Mapping[str, Tensor], last: str) -> dict[str, torch.Size]:
    """Of all but the last layer; old files lack the counters of batches, which nothing reads."""
    kept = (name for name in state if not name.startswith(f"{last}.") and not name.endswith("num_batches_tracked"))
    return {name: state[name].shape for name in kept}
