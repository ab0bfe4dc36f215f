"""Classifiers: gray pictures in, logits out."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision import models

from cxr.classify.config import FOUNDATION, ClassifyConfig
from cxr.classify.foundation import foundation_features
from cxr.classify.small_cnn import SmallCnn
from cxr.errors import BadInput
from cxr.weights import Weights, read_state, resolve_imagenet

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours in [0, 1]
HEAD_WIDTH = 512  # of DenseNet-121's head
LAST_LAYERS = {  # where torchvision's networks keep the layer that names classes
    "resnet18": "fc",
    "resnet50": "fc",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "vit_b_16": "heads.head",
}


def build_classifier(config: ClassifyConfig, classes: int, features: int | None = None) -> nn.Module:
    """float32 [B, 1, H, W] in [-1, 1] to logits [B, classes]; where the network is frozen, its features [B, features].
    Initial weights: torch's, or those that it was trained to elsewhere.

    Raises:
        BadInput: these are not to be had, or are those of another network.
    """
    if config.frozen:
        assert features is not None
        return nn.Sequential(nn.BatchNorm1d(features, affine=False), nn.Linear(features, classes))
    if config.network in FOUNDATION:
        body = foundation_features(config.extractor)
        return nn.Sequential(body, nn.Linear(body.width, classes))
    if config.network == "cnn":
        return SmallCnn(classes)
    if config.network == "resnet18_28":
        return build_small_resnet(classes)
    body = models.get_model(config.network, weights=None)
    last = LAST_LAYERS[config.network]
    if config.pretrained:
        load_imagenet_weights(body, last, resolve_imagenet(config.network, config.weights), config.network)
    body.set_submodule(last, build_head(config, body.get_submodule(last).in_features, classes))
    return GrayToImageNet(body)


class GrayToImageNet(nn.Module):
    """Feeds gray pictures to a network trained on ImageNet, normalised as its colour photographs were."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.body(((pictures + 1) / 2 - self.mean) / self.deviation)


def build_small_resnet(classes: int) -> nn.Module:
    """ResNet-18 as it is used on CIFAR and MedMNIST: its stem keeps the picture's size."""
    network = models.resnet18(num_classes=classes)
    network.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def build_head(config: ClassifyConfig, inputs: int, classes: int) -> nn.Module:
    if config.network != "densenet121":
        return nn.Linear(inputs, classes)
    return nn.Sequential(
        nn.Linear(inputs, HEAD_WIDTH), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(HEAD_WIDTH, classes)
    )  # fmt: skip


def load_imagenet_weights(body: nn.Module, last: str, found: Weights, name: str) -> None:
    """Puts the weights into all but the last layer."""
    layer = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])")  # named so when DenseNet's were published
    state = {layer.sub(r"\1\2", key): tensor for key, tensor in read_state(found).items()}
    if body_shapes(state, last) != body_shapes(body.state_dict(), last):
        raise BadInput(f"{found.path}: not weights of torchvision's {name}; give another file")
    body.load_state_dict({key: state[key] for key in body_shapes(state, last)}, strict=False)


def body_shapes(state: Mapping[str, Tensor], last: str) -> dict[str, torch.Size]:
    """Of all but the last layer; old files lack the counters of batches, which nothing reads."""
    kept = (name for name in state if not name.startswith(f"{last}.") and not name.endswith("num_batches_tracked"))
    return {name: state[name].shape for name in kept}
