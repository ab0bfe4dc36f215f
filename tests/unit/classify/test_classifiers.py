"""Every network by its name, and where its first weights come from."""

import hashlib
import os
import pickle
import re
import urllib.error
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.transforms.functional import normalize

from cxr.classify.classifiers import DEVIATION, MEAN, build_classifier
from cxr.classify.config import ClassifyConfig
from cxr.errors import BadInput
from cxr.weights import found
from cxr.weights.published import imagenet_file

RESNET = ClassifyConfig(network="resnet18", resize=64, size=64)
DENSENET = ClassifyConfig(network="densenet121", resize=64, size=64)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch) -> Path:
    """Empty caches, and nothing to be had from elsewhere; torch's folder of weights."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def publish(caches: Path, monkeypatch):
    """`publish(name, data)`: the bytes as the file that torchvision publishes."""

    def lay(name: str, data: bytes) -> Path:
        digest = hashlib.sha256(data).hexdigest()[:8]
        monkeypatch.setattr(found, "imagenet_file", lambda name: replace(imagenet_file(name), sha256=digest))
        path = caches / imagenet_file(name).url.rpartition("/")[2]
        path.write_bytes(data)
        return path

    return lay


def random_body(name: str) -> nn.Module:
    """One of torchvision's networks, with statistics that are not those of a new one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        body = models.get_model(name, weights=None).eval()
        for buffer in body.buffers():
            if buffer.is_floating_point():
                buffer.add_(0.1 * torch.rand_like(buffer))
    return body


def as_published(body: nn.Module, folder: Path) -> bytes:
    """The state as torchvision's old files have it: without counters, DenseNet's layers under their old names."""
    numbered = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])")
    state = {
        numbered.sub(r"\1.\2", name): tensor
        for name, tensor in body.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(state, folder / "saved.pth")
    return (folder / "saved.pth").read_bytes()


@pytest.mark.parametrize(
    ("name", "size", "classes"),
    [
        ("cnn", 28, 10),
        ("resnet18_28", 28, 2),
        ("resnet18", 64, 10),
        ("densenet121", 64, 2),
        ("efficientnet_b0", 64, 3),
        pytest.param("resnet50", 64, 2, marks=pytest.mark.slow),
        pytest.param("vit_b_16", 224, 2, marks=pytest.mark.slow),
    ],
)
def test_gray_pictures_become_logits_and_every_weight_learns(name: str, size: int, classes: int):
    made = build_classifier(ClassifyConfig(network=name, resize=size, size=size, pretrained=False), classes)
    logits = made(torch.rand(2, 1, size, size) * 2 - 1)
    assert logits.shape == (2, classes)
    logits.square().sum().backward()
    assert all(weight.grad is not None for weight in made.parameters())


def test_densenet_has_the_head_of_the_protocol():
    made = build_classifier(DENSENET.model_copy(update={"pretrained": False, "dropout": 0.4}), 2).body.classifier
    assert [str(layer).partition("(")[0] for layer in made] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert [tuple(made[place].weight.shape) for place in (0, 3)] == [(512, 1024), (2, 512)] and made[2].p == 0.4


def test_the_small_resnet_keeps_the_side_of_small_pictures():
    made, sides = build_classifier(ClassifyConfig(network="resnet18_28", resize=28, size=28), 2).eval(), []
    for stage in (made.layer1, made.layer4):
        stage.register_forward_hook(lambda *seen: sides.append(seen[2].shape[-1]))
    made(torch.zeros(1, 1, 28, 28))
    assert sides == [28, 4]


@pytest.mark.parametrize("config", [RESNET, DENSENET], ids=["resnet18", "densenet121"])
def test_published_weights_see_gray_as_torchvisions_network_sees_photographs(publish, tmp_path, config):
    theirs = random_body(config.network)
    publish(config.network, as_published(theirs, tmp_path))
    ours = build_classifier(config, 2).eval()
    last = {"resnet18": "fc", "densenet121": "classifier"}[config.network]
    theirs.set_submodule(last, ours.body.get_submodule(last))
    gray = torch.rand(2, 1, 64, 64)
    photograph = normalize(gray.expand(-1, 3, -1, -1), MEAN, DEVIATION)
    torch.testing.assert_close(ours(gray * 2 - 1), theirs(photograph), rtol=1e-3, atol=1e-4)


def test_a_users_own_weights_are_taken_whatever_classes_they_name(tmp_path):
    theirs = models.resnet18(num_classes=14)
    save_file(theirs.state_dict(), tmp_path / "own.safetensors")
    made = build_classifier(RESNET.model_copy(update={"weights": str(tmp_path / "own.safetensors")}), 2)
    assert torch.equal(made.body.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    assert made.body.fc.weight.shape == (2, 512)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(models.resnet18().state_dict(), tmp_path / "own.safetensors")
    with pytest.raises(BadInput, match="not weights of torchvision's densenet121"):
        build_classifier(DENSENET.model_copy(update={"weights": str(tmp_path / "own.safetensors")}), 2)


def test_without_internet_one_line_says_what_was_tried_and_what_else_there_is(caches):
    with pytest.raises(BadInput, match=r"tried .*/resnet18-f37072fd.pth and https://.*--pretrained False") as error:
        build_classifier(RESNET, 2)
    assert str(caches) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_the_published_one_is_never_opened(caches, monkeypatch):
    monkeypatch.setattr(torch, "load", None)
    (caches / "resnet18-f37072fd.pth").write_bytes(b"another")
    with pytest.raises(BadInput, match="not the published weights"):
        build_classifier(RESNET, 2)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_runs_code_is_refused_even_with_the_published_digest(publish, tmp_path):
    torch.save({"fc.weight": Hostile(tmp_path / "ran")}, tmp_path / "hostile.pth")
    for data in ((tmp_path / "hostile.pth").read_bytes(), pickle.dumps(Hostile(tmp_path / "ran"), protocol=2)):
        publish("resnet18", data)
        with pytest.raises(BadInput, match="not a file of weights alone"):
            build_classifier(RESNET, 2)
    assert not (tmp_path / "ran").exists()
