"""Extractors: pictures in, features out; the networks behind a distance between sets of pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cxr.data.images import fit
from cxr.errors import BadInput
from cxr.networks import SmallCnn, to_input
from cxr.weights import Weights, read_state, resolve_extractor

TINY_SIZE = 128  # px, of the pictures that the embedded extractor was trained on


def ignored(count: int) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True)
class Extractor:
    """A network with what a figure has to say about it."""

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
        """Features float32 [N, dimension] of pictures uint8 [N, H, W], of any size; `advance` hears of each batch."""
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
            raise BadInput(f"{self.name}: has no classes, so no Inception Score; leave that figure out")
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


def inception_extractor(weights: str = "inception") -> Extractor:
    """FID's network, as pytorch-fid has it: 2048 features, 1008 classes.

    Args:
        weights: `inception` for the published ones, or a safetensors file, a folder or s3://bucket/prefix with
            model.safetensors, or owner/name@commit, of a state dict with pytorch-fid's names.

    Raises:
        BadInput: the weights are nowhere to be had, damaged, or of another network.
    """
    found, device = resolve_extractor(weights), _device()
    state = read_state(found)
    network = _inception(state, found).to(device)
    unbiased = state["fc.weight"].float().T.to(device)  # [2048, 1008]; as in the Inception Score's own code, no bias
    return Extractor(
        weights if weights == "inception" else "inception, own weights",
        found.digest,
        *unbiased.shape,
        prepare=_as_rgb,
        network=lambda pictures: network(pictures)[0].flatten(1),
        head=lambda features: features @ unbiased,
        device=device,
    )


def extractor_of(spec: str) -> Extractor:
    """`tiny`, `inception`, or Inception with the weights that `spec` names. Raises as these."""
    return tiny_extractor() if spec == "tiny" else inception_extractor(spec)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _at_tiny_size(pixels: np.ndarray) -> Tensor:
    return to_input(np.stack([fit(picture, TINY_SIZE, "keep") for picture in pixels]))


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
