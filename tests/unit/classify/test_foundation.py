"""Networks that others trained on X-rays: all of one trained further, or a last layer alone on its frozen features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from cxr import recipes
from cxr.classify.classifiers import build_classifier
from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import LabelledImages, TrainingPhase, predict_probabilities, train_classifier
from cxr.classify.speed import measure_speed
from cxr.classify.task import OneFinding
from cxr.errors import BadInput
from cxr.evaluate.features import extractor_of

PROBE = recipes.STUDY["rad_dino_probe"]().classifier


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, str]:
    """Random weights of each network, as its publisher names them."""
    from torchvision.models import densenet121
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dense = densenet121(weights=None, num_classes=18)
        dense.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        save_file(dense.state_dict(), folder / "xrv.safetensors")
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 518}
        Dinov2Model(Dinov2Config(**shape, initializer_range=0.3)).save_pretrained(folder / "dino")
    return {"xrv": str(folder / "xrv.safetensors"), "rad-dino": str(folder / "dino")}


def config(network: str, weights: dict[str, str], size: int, **more: object) -> ClassifyConfig:
    return ClassifyConfig(network=network, weights=weights[network], resize=size, size=size, **more)


@pytest.mark.parametrize(("network", "size"), [("xrv", 64), ("rad-dino", 56)])
def test_all_of_it_learns(weights, network: str, size: int) -> None:
    made = build_classifier(config(network, weights, size), 3)
    logits = made(torch.rand(2, 1, size, size) * 2 - 1)
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    assert all(weight.grad is not None for name, weight in made.named_parameters() if "mask_token" not in name)


def test_its_features_are_those_of_the_extractor(weights) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 224, 224), np.uint8)
    body = build_classifier(config("xrv", weights, 224), 2)[0].eval()
    with torch.inference_mode():
        ours = body(torch.from_numpy(pixels)[:, None].float() / 127.5 - 1).numpy()
    expected = extractor_of(f"xrv={weights['xrv']}")(pixels)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * expected.std())


def probed(planted: float) -> float:
    """AUROC on the test part of a probe whose features tell the label apart by so many standard deviations."""
    rng = np.random.default_rng(5)
    targets = np.arange(400) % 2
    features = rng.normal(3, 20, (400, 32)).astype(np.float32)  # far from mean 0 and variance 1
    features[:, 7] += 20 * planted * targets
    task, rows = OneFinding(2), np.arange(400)
    settings = PROBE.model_copy(update={"epochs": 10, "batch": 16, "learning_rate": 1e-2})
    pictures = LabelledImages(features, targets, rows[200:300])
    trained = train_classifier(pictures, [TrainingPhase(rows[:200], 125)], settings, task, seed=1)
    assert [type(layer) for layer in trained.network] == [nn.BatchNorm1d, nn.Linear]
    return task.auroc(predict_probabilities(trained.network, features, rows[300:], settings, task), targets[300:])


def test_a_probe_finds_what_the_features_tell_and_nothing_where_they_tell_nothing() -> None:
    assert probed(6) > 0.95
    assert abs(probed(0) - 0.5) < 0.15


def test_a_probe_is_timed_without_pictures() -> None:
    assert measure_speed(PROBE.model_copy(update={"batch": 8}), OneFinding(2)).step > 0


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"network": "cnn", "frozen": True}, "take network xrv or rad-dino"),
        ({"network": "xrv", "frozen": True}, "no flip, rotation 0"),
        ({"network": "xrv", "pretrained": False}, "leave pretrained true"),
        ({"network": "rad-dino", "resize": 300, "size": 300}, "a multiple of 14"),
    ],
)
def test_what_does_not_go_together_is_one_line(fields: dict, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ClassifyConfig(**fields)


def test_weights_of_another_network_are_refused(weights, tmp_path: Path) -> None:
    save_file({"features.conv0.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="not the weights of torchxrayvision's DenseNet-121"):
        build_classifier(config("xrv", {"xrv": str(tmp_path / "other.safetensors")}, 64), 2)
