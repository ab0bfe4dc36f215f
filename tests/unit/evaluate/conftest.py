"""Two sets in memory and an extractor that is a formula, not a network."""

import numpy as np
import pytest
import torch

from cxr.evaluate.config import ALL
from cxr.evaluate.features import Extractor
from cxr.evaluate.frechet import moments
from cxr.evaluate.measure import Features
from cxr.evaluate.sets import ImageSet, Labelling


def means(pictures: torch.Tensor) -> torch.Tensor:
    """16 features: the means of a grid of 4 x 4."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures, 4).flatten(1)


def label(findings: np.ndarray) -> Labelling:
    """Of findings that exclude each other, str [N]."""
    names = np.unique(findings)
    return Labelling(tuple(names.tolist()), (findings[:, None] == names).astype(np.float32))


@pytest.fixture(scope="session")
def grid_extractor() -> Extractor:
    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(pixels)).float().div(64)[:, None]

    head = torch.nn.Linear(16, 3)
    with torch.no_grad():
        head.weight.copy_(torch.arange(48).reshape(3, 16) % 7)
        head.bias.zero_()
    return Extractor("tiny", "0" * 64, 16, 3, prepare, means, head, "cpu")


@pytest.fixture(scope="session")
def made_pictures():
    """`made_pictures(name, per_finding, shift, seed)`: 64 px pictures of findings a and b; two pictures a patient."""

    def make(name: str, per_finding: int, shift: float = 0.0, seed: int = 0) -> ImageSet:
        rng, count = np.random.default_rng(seed), 2 * per_finding
        findings = np.array(["a", "b"] * per_finding)
        tiles = rng.uniform(60, 160, (count, 4, 4)) + 40 * (findings == "b")[:, None, None] + shift
        noise = 6 * rng.standard_normal((count, 64, 64))
        pixels = np.clip(np.kron(tiles, np.ones((16, 16))) + noise, 0, 255).astype(np.uint8)
        ids = np.array([f"{name}{row:04d}" for row in range(count)])
        patients = np.array([f"p{row // 2}" for row in range(count)])
        splits = np.array(["train", "train", "train", "validation", "test"])[np.arange(count) // 2 % 5]
        return ImageSet(ids, label(findings), findings, patients, splits, pixels.__getitem__)

    return make


@pytest.fixture(scope="session")
def features_of(grid_extractor):
    """`features_of(pictures)`: of all of them."""

    def of(side: ImageSet) -> Features:
        rows = np.arange(len(side.ids))
        values = grid_extractor(side.read(rows))
        names = side.labels.names
        shown = {ALL: side.labels.shows(*names)} | {name: side.labels.shows(name) for name in names}
        return Features(rows, values, {name: moments(values[chosen]) for name, chosen in shown.items()})

    return of
