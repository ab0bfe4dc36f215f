"""Networks that were trained on X-rays: torchxrayvision's DenseNet-121 and RAD-DINO. Gray pictures in, features out."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torchvision.models import densenet121

from cxr.errors import BadInput
from cxr.weights import Weights, network_and_place, read_state, resolve_extractor

if TYPE_CHECKING:
    from transformers import Dinov2Model

XRV_RANGE = 1024.0  # gray values lie between -1024 and 1024
# As preprocessor_config.json of microsoft/rad-dino has them, of gray in [0, 1]
RAD_DINO_MEAN, RAD_DINO_DEVIATION = 0.5307, 0.2583


class XrvFeatures(nn.Module):
    """float32 [B, 1, H, W] in [-1, 1] to features [B, 1024], as torchxrayvision's DenseNet-121 has them
    (https://arxiv.org/abs/2111.00595)."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body
        self.width = cast(nn.BatchNorm2d, body.norm5).num_features

    def forward(self, pictures: Tensor) -> Tensor:
        return self.body(pictures * XRV_RANGE).relu().mean(dim=(2, 3))


class RadDinoFeatures(nn.Module):
    """float32 [B, 1, H, W] in [-1, 1] to the class token [B, D] of a Dinov2Model, after its last norm
    (https://arxiv.org/abs/2401.10815). It was trained at 518 px; at another size its positions are interpolated."""

    def __init__(self, body: "Dinov2Model") -> None:
        super().__init__()
        self.body = body
        self.width: int = body.config.hidden_size

    def forward(self, pictures: Tensor) -> Tensor:
        gray = ((pictures + 1) / 2 - RAD_DINO_MEAN) / RAD_DINO_DEVIATION
        return self.body(gray.expand(-1, 3, -1, -1)).pooler_output


def foundation_features(spec: str) -> XrvFeatures | RadDinoFeatures:
    """The network that `--extractor` names, `xrv` or `rad-dino`, ready to be trained further.

    Raises:
        BadInput: its weights are not to be had, or are those of another network.
    """
    found = resolve_extractor(spec)
    if network_and_place(spec)[0] == "xrv":
        return XrvFeatures(xrv_body(found)).requires_grad_(True)
    return RadDinoFeatures(dinov2_body(found)).requires_grad_(True)


def xrv_body(found: Weights) -> nn.Sequential:
    """torchvision's DenseNet-121 up to its last norm, for gray pictures: its names are torchxrayvision's too."""
    network = densenet121(weights=None).features
    network.conv0 = nn.Conv2d(1, network.conv0.out_channels, kernel_size=7, stride=2, padding=3, bias=False)
    state = {
        name.removeprefix("features."): tensor
        for name, tensor in read_state(found).items()
        if name.startswith("features.")
    }
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise BadInput(f"{found.path}: not the weights of torchxrayvision's DenseNet-121; give another file") from None
    return network.eval().requires_grad_(False)


def dinov2_body(found: Weights) -> "Dinov2Model":
    from transformers import Dinov2Model
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else a table of what does not fit precedes our line
    options = {"local_files_only": True, "dtype": torch.float32, "output_loading_info": True}
    try:
        network, loading = Dinov2Model.from_pretrained(found.path, **options)
        if loading["missing_keys"] or loading["unexpected_keys"]:
            raise ValueError
    except Exception:  # whatever somebody's config.json leads to, in json, in huggingface_hub or in torch
        raise BadInput(f"{found.path}: not the weights of a Dinov2Model of transformers; give another folder") from None
    return network.eval().requires_grad_(False)
