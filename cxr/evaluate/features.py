"""Extractors: pictures in, features out; the networks behind a distance between sets of pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cxr.classify.foundation import RAD_DINO_DEVIATION, RAD_DINO_MEAN, XrvFeatures, dinov2_body, xrv_body
from cxr.classify.small_cnn import SmallCnn, pixels_to_input
from cxr.data.images import fit_square
from cxr.errors import BadInput
from cxr.weights import PUBLISHED_RAD_DINO, Weights, network_and_place, read_state, resolve_extractor

TINY_SIZE = 128  # px, of the pictures that the embedded extractor was trained on
XRV_SIZE = 224  # px
RAD_DINO_SIZE = 518  # px, as preprocessor_config.json of microsoft/rad-dino has it


def ignored(count: int) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True)
class Extractor:
    """A network, and what pages say about it."""

    name: str
    digest: str  # of the weights
    dimension: int
    classes: int | None  # of its head, for an Inception Score
    prepare: Callable[[np.ndarray], Tensor]  # uint8 [B, H, W] to what the network takes
    network: Callable[[Tensor], Tensor]  # to features [B, dimension]
    head: Callable[[Tensor], Tensor] | None  # features to logits [B, classes]
    device: str
    batch: int = 50

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray, advance: Callable[[int], object] = ignored) -> np.ndarray:
        """Features float32 [N, dimension] of pictures uint8 [N, H, W], of any size; `advance` counts each batch."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3:
            raise ValueError(f"{pixels.dtype} {list(pixels.shape)}, not uint8 [N, H, W]")
        features = np.empty((len(pixels), self.dimension), np.float32)
        for start in range(0, len(pixels), self.batch):
            part = pixels[start : start + self.batch]
            features[start : start + len(part)] = self.network(self.prepare(part).to(self.device)).cpu().numpy()
            advance(len(part))
        return features

    @torch.inference_mode()
    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities float32 [N, classes] from the features [N, dimension] of these pictures."""
        if self.head is None:
            raise BadInput(f"{self.name}: has no classes, so no Inception Score; leave that metric out")
        return self.head(torch.from_numpy(features).to(self.device)).softmax(dim=1).cpu().numpy()


def tiny_extractor() -> Extractor:
    """The embedded extractor, trained on phantoms: 128 features, ten classes. A distance with it is no FID.

    Raises:
        BadInput: the package's file is missing or damaged.
    """
    weights, device = resolve_extractor("tiny"), _device()
    state = load_file(weights.path)
    network = SmallCnn(len(state["head.bias"]))
    network.load_state_dict(state)
    network.eval().requires_grad_(False).to(device)
    head = network.head
    return Extractor(
        "tiny", weights.digest, head.in_features, head.out_features, _at_tiny_size, network.features, head, device
    )


def inception_extractor(spec: str = "inception") -> Extractor:
    """FID's network, as pytorch-fid has it: 2048 features, 1008 classes.

    Args:
        spec: `inception` for the published weights, or `inception=PLACE` for a state dict with pytorch-fid's names.

    Raises:
        BadInput: the weights are nowhere to be had, damaged, or of another network.
    """
    found, device = resolve_extractor(spec), _device()
    state = read_state(found)
    network = _inception(state, found).to(device)
    unbiased = state["fc.weight"].float().T.to(device)  # [2048, 1008]; as in the Inception Score's own code, no bias
    dimension, classes = unbiased.shape
    return Extractor(
        spec if spec == "inception" else "inception, own weights",
        found.digest,
        dimension,
        classes,
        prepare=_as_rgb,
        network=lambda pictures: network(pictures)[0].flatten(1),
        head=lambda features: features @ unbiased,
        device=device,
    )


def xrv_extractor(spec: str) -> Extractor:
    """torchxrayvision's DenseNet-121 (https://arxiv.org/abs/2111.00595): 1024 features.

    No classes: its outputs are findings that may all be there at once, so there is no Inception Score.

    Args:
        spec: `xrv=PLACE` for a state dict with torchxrayvision's names. Raises as `inception_extractor`.
    """
    found, device = resolve_extractor(spec), _device()
    network = XrvFeatures(xrv_body(found)).to(device)
    return Extractor(
        "xrv",
        found.digest,
        network.width,
        classes=None,
        prepare=_as_xrv,
        network=network,
        head=None,
        device=device,
    )


def rad_dino_extractor(spec: str = "rad-dino") -> Extractor:
    """RAD-DINO (https://arxiv.org/abs/2401.10815), a ViT-B/14 trained on X-rays without labels: 768 features.

    They are those of the class token, after the last norm.

    Args:
        spec: `rad-dino` for the published weights, or `rad-dino=PLACE` for a Dinov2Model of transformers; with the
            published files there it is called the same. Raises as `inception_extractor`.
    """
    found, device = resolve_extractor(spec), _device()
    network = dinov2_body(found).to(device)
    return Extractor(
        "rad-dino" if found.digest == PUBLISHED_RAD_DINO else "rad-dino, own weights",
        found.digest,
        network.config.hidden_size,
        classes=None,
        prepare=_as_rad_dino,
        network=lambda pictures: network(pictures).pooler_output,
        head=None,
        device=device,
        batch=8,  # a picture has 1,370 tokens
    )


def extractor_of(spec: str) -> Extractor:
    """The extractor that `--extractor` names, `NETWORK` or `NETWORK=PLACE`. Raises as these."""
    match network_and_place(spec)[0]:
        case "tiny":
            return tiny_extractor()
        case "inception":
            return inception_extractor(spec)
        case "xrv":
            return xrv_extractor(spec)
        case _:
            return rad_dino_extractor(spec)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _at_tiny_size(pixels: np.ndarray) -> Tensor:
    return pixels_to_input(np.stack([fit_square(picture, TINY_SIZE, "keep") for picture in pixels]))


def _as_rgb(pixels: np.ndarray) -> Tensor:
    """float32 [B, 3, H, W] in [0, 1]; the network itself resizes to 299, as pytorch-fid's does."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float().div(255)[:, None].expand(-1, 3, -1, -1)


def _inception(state: dict[str, Tensor], found: Weights) -> nn.Module:
    """pytorch-fid's network asks a web address for its weights wherever it is built; here it is handed ours."""
    from pytorch_fid import inception

    try:
        with patch.object(inception, "load_state_dict_from_url", lambda *_, **__: state):
            return inception.InceptionV3().eval()
    except (RuntimeError, KeyError):
        raise BadInput(f"{found.path}: not the weights of pytorch-fid's Inception network; give another file") from None


def _as_xrv(pixels: np.ndarray) -> Tensor:
    """float32 [B, 1, 224, 224] in [-1, 1]: the middle square, resized as torchxrayvision's networks themselves do."""
    height, width = pixels.shape[1:]
    side = min(height, width)
    top, left = height // 2 - side // 2, width // 2 - side // 2
    square = pixels_to_input(pixels[:, top : top + side, left : left + side])
    return nn.functional.interpolate(square, size=(XRV_SIZE, XRV_SIZE), mode="bilinear", antialias=True)


def _as_rad_dino(pixels: np.ndarray) -> Tensor:
    """float32 [B, 3, 518, 518]: the middle of the picture, its shorter side scaled to 518."""
    from transformers import BitImageProcessorPil

    processor = BitImageProcessorPil(
        size={"shortest_edge": RAD_DINO_SIZE},
        crop_size={"height": RAD_DINO_SIZE, "width": RAD_DINO_SIZE},
        image_mean=[RAD_DINO_MEAN] * 3,
        image_std=[RAD_DINO_DEVIATION] * 3,
    )
    colours = [np.repeat(picture[:, :, None], 3, axis=2) for picture in pixels]
    return processor(colours, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
