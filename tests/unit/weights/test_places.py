"""A place given by a path from here is the same place in a worker, whose working folder is another."""

import importlib
import json
from pathlib import Path

import pytest

from cxr.store.file_cache import cache_folder
from cxr.weights import check_extractor_spec, check_lora_spec, check_spec, check_weights_spec, resolve
from tests.unit.weights.conftest import kohya
from tests.words import parse_options


def configured(job: str, **options: object) -> object:
    """What travels to the workers of a job that was given these options."""
    module = importlib.import_module(f"cxr.jobs.{job}")
    return module.build_config(parse_options(module, **options))


@pytest.fixture
def here(random_model: Path, attention, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a model, a link to it, a LoRA and a file of weights; the working folder is below it."""
    kohya(tmp_path, attention)
    (tmp_path / "model").symlink_to(random_model)
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "kohya.safetensors").read_bytes())
    (tmp_path / "below").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


@pytest.mark.parametrize("way", ["../{}", "~/{}"])
def test_every_place_that_travels_is_absolute(way: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, lora, weights = (way.format(name) for name in ("model", "kohya.safetensors", "w.safetensors"))
    generate = configured("generate", out="o", prompt="x", model=model, lora=lora)
    finetune = configured("finetune", data="d", out="o", model=model)
    evaluate = configured("evaluate", real="r", synthetic="s", out="o", extractor=f"xrv={weights}")
    study = configured(
        "study", real="r", out="o", network="resnet18", size=64, resize=64, pretrained=True, weights=weights
    )
    places = [
        generate.model,
        generate.lora,
        finetune.model,
        evaluate.extractor.partition("=")[2],
        study.classifier.weights,
    ]
    assert all(Path(place).is_absolute() and Path(place).exists() for place in places)
    expected = resolve(str(here / "model")).digest
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/nowhere")
    assert resolve(finetune.model).digest == resolve(generate.model).digest == expected
    assert [place.removeprefix(str(here)).replace("/below/..", "") for place in places] == [
        "/model", "/kohya.safetensors", "/model", "/w.safetensors", "/w.safetensors"
    ]  # fmt: skip


def test_names_that_are_no_places_stay_as_they_are(here: Path) -> None:
    commit = f"owner/name@{'a' * 40}"
    for name in ("tiny", "sd15", commit, "s3://bucket/x"):
        assert check_spec(name) == name
    assert check_lora_spec(commit) == check_weights_spec(commit) == commit
    for name in ("tiny", "inception", "rad-dino", "xrv=s3://b/x/y", f"rad-dino={commit}"):
        assert check_extractor_spec(name) == name


def test_a_cache_that_is_named_by_a_path_from_here_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "cxr" / "weights"


def test_the_place_is_no_part_of_what_a_record_tells(here: Path) -> None:
    from cxr.generate.config import identity

    told = json.dumps(identity(configured("generate", out="o", prompt="x", model="../model"), "d", None, "p"))
    assert str(here) not in told
