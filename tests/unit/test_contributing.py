"""The examples of CONTRIBUTING work as they are shown, and what it names is there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torchvision
from safetensors.torch import save_file

from cxr.data.sources import SourceOptions, registry
from cxr.diffusion.family import DiffusionModel
from cxr.evaluate import features, measure
from cxr.weights import families, names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def block(word: str) -> str:
    return next(text for text in BLOCKS if word in text)


def run(text: str, *known: dict) -> dict:
    """The names that the text defines, beside those that are known to it."""
    namespace = {name: value for names in known for name, value in names.items()}
    exec(compile(text, "CONTRIBUTING.md", "exec"), namespace)
    return namespace


def test_files_that_are_named_are_there() -> None:
    named = re.findall(r"`((?:cxr|tests|docs|runs)/[\w./]+)`", PAGE)
    assert named and [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []


def test_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MCUCXR_0001_0.png", "MCUCXR_0104_1.png"):
        (tmp_path / name).write_bytes(name.encode())
    added = run("added = {" + block('"montgomery"') + "}", vars(registry), run(block("def montgomery_rows")))
    monkeypatch.setattr(registry, "SOURCES", {**registry.SOURCES, **added["added"]})
    kind, place = registry.parse_source(f"montgomery:{tmp_path}")
    rows = list(registry.SOURCES[kind](place, SourceOptions()))
    assert [(row.finding, row.patient_id) for row in rows] == [("normal", "0001"), ("tuberculosis", "0104")]
    assert rows[1].load() == b"MCUCXR_0104_1.png" and all(row.mark for row in rows)


def test_the_extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(names, "EXTRACTORS", (*names.EXTRACTORS, "resnet18"))
    made = run(block("def resnet18_extractor"), vars(features), {"torchvision": torchvision})
    extractor = made["resnet18_extractor"](f"resnet18={tmp_path}")
    assert extractor(np.zeros((2, 64, 64), np.uint8)).shape == (2, extractor.dimension)


def test_the_metric() -> None:
    energy_distance = run(block("def energy_distance"))["energy_distance"]
    rng = np.random.default_rng(0)
    real, like, other = rng.normal(size=(200, 4)), rng.normal(size=(200, 4)), rng.normal(1, 1, (200, 4))
    assert abs(energy_distance(real, like)) < 0.05 < energy_distance(real, other)
    line = run("added = {" + block('"energy_distance"') + "}", locals(), {"synthetic": other})
    assert line["added"]["energy_distance"] == energy_distance(real, other)


def test_the_family() -> None:
    added = run("added = {" + block('"AuraFlowPipeline"') + "}", vars(families))["added"]
    assert {type(family) for family in added.values()} == {families.Family}
    asked = {name for name, value in vars(DiffusionModel).items() if name[0] != "_" and not isinstance(value, type)}
    assert asked and {name for name in asked if f"`{name}`" not in PAGE} == set()


def test_what_the_examples_are_entered_in_is_there() -> None:
    assert {"metrics_of", "RANGES"} <= set(vars(measure)) and "extractor_of" in vars(features)
    assert all(
        f"`{name}`" in PAGE for name in ("metrics_of", "RANGES", "extractor_of", "EXTRACTORS", "SOURCES", "FAMILIES")
    )
