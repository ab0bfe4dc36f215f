"""A whole model in one file, as model sites give it: converted once by diffusers' loader, and named by its SHA-256."""

import hashlib
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.family import check_networks
from cxr.diffusion.sampler import Sampler
from cxr.errors import BadInput
from cxr.weights import check_spec, resolve, single_file
from cxr.weights.single_layouts import pipeline_of, write_layout
from tests.single_files import save_single_file
from tests.tiny_families import save_family
from tests.unit.weights.conftest import kohya, saved

WEIGHTS = {  # of the published models
    "sd15": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sd21": {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840},
    "sdxl": {"unet": 2_567_463_684, "vae": 83_653_863, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840},
}
KINDS = ("Stable Diffusion 1", "Stable Diffusion 2", "Stable Diffusion XL")


@pytest.fixture(scope="module")
def xl(once) -> Path:
    return once("StableDiffusionXLPipeline", lambda folder: save_family("StableDiffusionXLPipeline", folder))


@pytest.fixture(params=[KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def base(kind: str, random_model: Path, xl: Path) -> Path:
    return xl if kind.endswith("XL") else random_model


@pytest.fixture
def file(kind: str, base: Path, tmp_path: Path) -> Path:
    return single(base, tmp_path / "one.safetensors", kind)


def single(base: Path, path: Path, kind: str, metadata: dict[str, str] | None = None) -> Path:
    of, dtype = (StableDiffusionPipeline, torch.float16)
    if kind.endswith("XL"):
        of, dtype = (StableDiffusionXLPipeline, torch.float32)
    pipe = of.from_pretrained(base, local_files_only=True, dtype=dtype)
    return save_single_file(pipe, path, open_clip=kind.endswith("2"), metadata=metadata)


def test_the_file_has_the_weights_and_pictures_of_its_folder(kind: str, base: Path, file: Path) -> None:
    found = resolve(f"{base}={file}")
    check_networks(found)
    for part in ("unet", "vae", "text_encoder", *(("text_encoder_2",) if kind.endswith("XL") else ())):
        ours, theirs = (
            {name: value for path in (folder / part).glob("*.safetensors") for name, value in load_file(path).items()}
            for folder in (found.path, base)
        )
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours), part
        assert {value.dtype for value in ours.values()} == {value.dtype for value in theirs.values()}
    settings = SamplerConfig(size=64, batch=1, steps=2)
    pictures = [Sampler.load(folder, None, settings)(["a chest"], [""], [5]) for folder in (found.path, base)]
    assert np.array_equal(*pictures)


def test_the_digest_is_the_files_where_its_tensors_tell_the_rest(
    kind: str, base: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = shutil.ignore_patterns("*.safetensors*")
    monkeypatch.setattr(
        single_file, "write_layout", lambda _, folder: shutil.copytree(base, folder, ignore=shape, dirs_exist_ok=True)
    )
    spec = f"sd21={file}" if kind.endswith("2") else str(file)
    found, by_folder = resolve(check_spec(spec)), resolve(check_spec(f"{base}={file}"))
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    assert sha in found.source and by_folder.as_input("model") == {"model": by_folder.digest, "model_file": sha}
    assert by_folder.digest != sha
    assert (found.digest == sha) == (kind != "Stable Diffusion 2")
    assert found.path == by_folder.path and found.lineage is None  # one conversion; nobody knows whom it has seen


def test_it_is_converted_once_and_again_when_the_copy_is_damaged(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = single(random_model, tmp_path / "one.safetensors", KINDS[0])
    spec = f"{random_model}={file}"
    copy = resolve(spec).path
    assert "converted once" in capsys.readouterr().err
    assert resolve(spec).path == copy and "converted" not in capsys.readouterr().err
    (copy / "unet" / "config.json").write_text("{}")
    assert json.loads((resolve(spec).path / "unet" / "config.json").read_bytes())["in_channels"]
    assert "converted once" in capsys.readouterr().err
    shutil.copytree(random_model, tmp_path / "other")
    settings = tmp_path / "other" / "scheduler" / "scheduler_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"prediction_type": "v_prediction"}))
    assert resolve(f"{tmp_path / 'other'}={file}").digest != resolve(spec).digest


def test_a_path_from_here_is_made_absolute(random_model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    single(random_model, tmp_path / "one.safetensors", KINDS[0])
    assert check_spec("one.safetensors") == check_spec("sd15=one.safetensors") == f"{tmp_path}/one.safetensors"
    (tmp_path / "m").symlink_to(random_model)
    assert check_spec("m=one.safetensors") == f"{tmp_path}/m={tmp_path}/one.safetensors"


def test_stable_diffusion_2_has_to_say_what_it_was_trained_on(random_model: Path, tmp_path: Path) -> None:
    silent = single(random_model, tmp_path / "silent.safetensors", KINDS[1])
    with pytest.raises(BadInput, match=f"give sd21={silent} .* or sd21_768={silent}"):
        check_spec(str(silent))
    assert check_spec(f"sd21_768={silent}") == f"sd21_768={silent}"
    told = single(random_model, tmp_path / "told.safetensors", KINDS[1], {"modelspec.prediction_type": "v"})
    assert check_spec(f"sd21_768={told}") == check_spec(str(told)) == str(told)
    with pytest.raises(BadInput, match="no sd21, but of Stable Diffusion 2"):
        check_spec(f"sd21={told}")


def test_what_cannot_be_converted_is_one_line(attention, random_model: Path, xl: Path, tmp_path: Path) -> None:
    def says(spec: object, words: str, looks: bool = False) -> None:
        with pytest.raises(BadInput, match=words) as told:
            resolve(str(spec)) if looks else check_spec(str(spec))
        assert "\n" not in str(told.value) and len(str(told.value)) < 600

    good = single(random_model, tmp_path / "good.safetensors", KINDS[0])
    state = load_file(good)

    def without(name: str, *prefixes: str, **more: torch.Tensor) -> Path:
        left = {key: value for key, value in state.items() if not key.startswith(prefixes)} if prefixes else state
        return saved(tmp_path / f"{name}.safetensors", left | more)

    first = "model.diffusion_model.input_blocks.0.0.weight"
    says(kohya(tmp_path / "loras", attention), "a LoRA; give it with --lora")
    says(without("no_vae", "first_stage_model."), r"without its autoencoder \(VAE\)")
    says(without("no_text", "cond_stage_model."), "without its text encoder")
    says(without("inpaint", **{first: torch.zeros(8, 9, 3, 3)}), "takes 9 channels and gives 8, as for inpainting")
    says(without("velocity", v_pred=torch.zeros(1)), "trained on velocity; give FOLDER=FILE")
    says(
        saved(tmp_path / "sd3.safetensors", {"model.diffusion_model.joint_blocks.0.x": torch.ones(1)}), "no whole Stab"
    )
    says(f"{xl}={good}", "a StableDiffusionXLPipeline, and good.safetensors is of Stable Diffusion 1")
    says(f"sdxl={good}", "no sdxl, but of Stable Diffusion 1")
    says(f"sd15={tmp_path}/gone.safetensors", "no such file")
    says(f"nowhere={good}", "neither a folder nor one of sd15")
    (tmp_path / "half.safetensors").write_bytes(good.read_bytes()[:-9])
    says(tmp_path / "half.safetensors", "not a whole safetensors file")
    says(good, "diffusers makes no model of it .*give FOLDER=FILE", looks=True)  # of another shape than the published
    more = without("more", **{f"{first.replace('0.0', '99.0')}": torch.ones(3)})
    says(f"{random_model}={more}", "its UNet has more weights", looks=True)
    assert not [*(tmp_path / "cache").glob("**/single/*")]


@pytest.mark.parametrize("kind", ["sd15", "sd21", "sd21_768", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_the_layouts_are_those_of_the_published_models(kind: str, tmp_path: Path) -> None:
    write_layout(kind, tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_bytes())
    assert index["_class_name"] == pipeline_of(kind)
    for part, count in WEIGHTS.get(kind, {}).items():
        library, name = index[part]
        of, config = (
            getattr(importlib.import_module(library), name),
            json.loads((tmp_path / part / "config.json").read_bytes()),
        )
        with torch.device("meta"):
            network = of.from_config(config) if library == "diffusers" else of(of.config_class.from_dict(config))
        assert sum(weight.numel() for weight in network.parameters()) == count, part
    for part in (name for name in index if name.startswith("tokenizer")):
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(tmp_path / part, local_files_only=True)
        assert tokenizer("A photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
        assert len(tokenizer) == 49408 and tokenizer.model_max_length == 77
        assert tokenizer.pad_token_id == (
            49407 if (kind, part) in (("sd15", "tokenizer"), ("sdxl", "tokenizer")) else 0
        )
    assert DiffusionPipeline.load_config(tmp_path)["scheduler"][0] == "diffusers"
