"""LoRAs of the families beside the first: ours are those of diffusers' own loading; other trainers' names are read."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.family import DiffusionModel, check_networks, family_of
from cxr.diffusion.layers import TEXT, UNET, original_name, read_layers
from cxr.diffusion.lora_files import read_lora
from cxr.diffusion.sampler import Sampler
from cxr.diffusion.stable_diffusion_xl import StableDiffusionXL
from cxr.errors import BadInput
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer
from cxr.weights import check_lora_spec, check_spec, resolve, resolve_lora
from cxr.weights.kinds import KOHYA_FILE, LORA_FILE
from tests.tiny_families import stable_diffusion_3

XL = "StableDiffusionXLPipeline"
SAMPLER = SamplerConfig(size=64, steps=2, batch=1, guidance=3.0)


def picture(folder: Path, lora: Path | None = None) -> np.ndarray:
    return Sampler.load(folder, lora, SAMPLER)(["pneumonia"], ["blurred"], [3])[0].astype(int)


def train(model: DiffusionModel, bars: CaptionedImages, folder: Path, **fields: Any) -> Path:
    config = FinetuneConfig(size=64, batch=2, max_train_steps=3, rank=4, alpha=8, learning_rate=0.03, **fields)
    trainer = Trainer(model, config, bars)
    for _ in range(3):
        trainer.step()
    model.save(config, folder)
    return folder


def weights_with(folder: Path, lora: Path) -> dict[str, torch.Tensor]:
    """Of all networks that a LoRA can change, with this one added."""
    model = Sampler.load(folder, lora, SAMPLER).model
    return {f"{n}.{name}": value for n, net in enumerate(model.networks) for name, value in net.state_dict().items()}


@pytest.mark.slow
def test_a_lora_of_ours_is_what_diffusers_loads(folder: Path, load, bars: CaptionedImages, tmp_path: Path) -> None:
    name = json.loads((folder / "model_index.json").read_text())["_class_name"]
    if name == "PixArtSigmaPipeline":
        pytest.skip("diffusers' pipeline of it loads no LoRA")
    train(load(), bars, tmp_path, train_text_encoder=name == XL)
    pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.load_lora_weights(tmp_path, weight_name=LORA_FILE, local_files_only=True)
    parts = [part for part in ("unet", "transformer", TEXT, "text_encoder_2") if part in read_layers(folder)]
    pipe.fuse_lora(components=parts)
    pipe.unload_lora_weights()
    ours = weights_with(folder, tmp_path / LORA_FILE)
    theirs = {f"{n}.{key}": v for n, part in enumerate(parts) for key, v in getattr(pipe, part).state_dict().items()}
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-5, atol=1e-6)
    assert np.abs(picture(folder, tmp_path / LORA_FILE) - picture(folder)).mean() > 1


@pytest.mark.slow
def test_peft_s_own_names_are_read(folder: Path, load, bars: CaptionedImages, tmp_path: Path) -> None:
    train(load(), bars, tmp_path / "ours")
    state = load_file(tmp_path / "ours" / LORA_FILE)
    denoiser = next(iter(state)).partition(".")[0]
    state = {f"base_model.model.{name.removeprefix(f'{denoiser}.')}": value for name, value in state.items()}
    (tmp_path / "peft").mkdir()
    save_file(state, tmp_path / "peft" / "adapter_model.safetensors")
    (tmp_path / "peft" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    found = resolve_lora(check_lora_spec(str(tmp_path / "peft")))
    assert np.array_equal(picture(folder, found.path), picture(folder, tmp_path / "ours" / LORA_FILE))


def test_kohya_s_names_for_xl_are_written_and_read(family_folder, bars: CaptionedImages, tmp_path: Path) -> None:
    base = family_folder(XL)
    train(StableDiffusionXL.load(base, torch.float32), bars, tmp_path, train_text_encoder=True)
    kohya, layers = load_file(tmp_path / KOHYA_FILE), read_layers(base)
    assert {name.partition("_")[2].partition("_")[0] for name in kohya} == {"unet", "te1", "te2"}
    ours = read_lora(tmp_path / LORA_FILE, base)
    counts = ours.summary["layers"]
    assert set(counts) == {UNET, TEXT, "text_encoder_2"} and min(counts.values()) > 4
    original = {original_name(layer, layers[UNET]).replace(".", "_"): layer.replace(".", "_") for layer in layers[UNET]}
    renamed = {
        f"lora_unet_{next((old for old, new in original.items() if stem == f'lora_unet_{new}'), stem[10:])}.{kind}"
        if (stem := name.partition(".")[0]).startswith("lora_unet_") else name: value
        for name, value in kohya.items() for kind in (name.partition(".")[2],)
    }  # fmt: skip
    assert any("input_blocks" in name for name in renamed)
    save_file(renamed, tmp_path / "original.safetensors")
    for file in (KOHYA_FILE, "original.safetensors"):
        read = read_lora(tmp_path / file, base)
        assert [(c.part, c.layer, c.strength) for c in read.changes] == [
            (c.part, c.layer, c.strength) for c in ours.changes
        ]
        for (_, down, up), (_, our_down, our_up) in zip(read.tensors(), ours.tensors(), strict=True):
            assert torch.equal(down, our_down) and torch.equal(up, our_up)


def test_a_lora_that_says_not_which_text_encoder_or_is_of_another_base_is_told(
    family_folder, random_model: Path, tmp_path: Path
) -> None:
    base, layer = family_folder(XL), "text_model.encoder.layers.0.self_attn.q_proj"
    halves = {"lora_A.weight": torch.ones(4, 16), "lora_B.weight": torch.ones(16, 4)}
    save_file({f"base_model.model.{layer}.{half}": v for half, v in halves.items()}, tmp_path / "silent.safetensors")
    with pytest.raises(BadInput, match="does not say which of text_encoder and text_encoder_2"):
        read_lora(tmp_path / "silent.safetensors", base)
    name = f"lora_te2_{layer.replace('.', '_')}"
    state = {f"{name}.lora_down.weight": halves["lora_A.weight"], f"{name}.lora_up.weight": halves["lora_B.weight"]}
    save_file(state, tmp_path / "xl.safetensors")
    with pytest.raises(BadInput, match="it changes text_encoder_2, which Stable Diffusion XL has"):
        read_lora(tmp_path / "xl.safetensors", random_model)


def test_a_transformer_is_known_by_what_its_class_was_called_too(family_folder, tmp_path: Path) -> None:
    """PixArt-Sigma was published as a `Transformer2DModel`."""
    folder = tmp_path / "old"
    shutil.copytree(family_folder("PixArtSigmaPipeline"), folder)
    for path, change in (
        (folder / "model_index.json", {"transformer": ["diffusers", "Transformer2DModel"]}),
        (folder / "transformer" / "config.json", {"_class_name": "Transformer2DModel"}),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    check_networks(resolve(check_spec(str(folder))))
    assert np.array_equal(picture(folder), picture(family_folder("PixArtSigmaPipeline")))


@pytest.mark.slow
def test_stable_diffusion_3_does_without_its_t5(tmp_path: Path) -> None:
    stable_diffusion_3(t5_too=False).save_pretrained(tmp_path / "m")
    check_networks(resolve(check_spec(str(tmp_path / "m"))))
    assert picture(tmp_path / "m").std() > 1
    assert family_of(tmp_path / "m").count_too_long(tmp_path / "m", ["normal", "pneumonia " * 80]) == 1


@pytest.mark.slow
@pytest.mark.slow
def test_half_precision_alone_is_loaded(family_folder, tmp_path: Path) -> None:
    pipe = DiffusionPipeline.from_pretrained(family_folder(XL), local_files_only=True, dtype=torch.float16)
    for name, variant in (("plain", None), ("variant", "fp16")):
        pipe.save_pretrained(tmp_path / name, variant=variant, max_shard_size="50KB")
    found = resolve(check_spec(str(tmp_path / "variant")))
    assert len([*(tmp_path / "variant" / "unet").glob("*.fp16-*-of-*.safetensors")]) > 1
    check_networks(found)
    assert np.array_equal(picture(found.path), picture(tmp_path / "plain"))


def test_a_shard_too_few_is_told(family_folder, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(family_folder(XL), folder)
    shard = next(iter((folder / "unet").glob("*-of-*.safetensors")))
    shard.unlink()
    with pytest.raises(BadInput, match=f"{shard.name} of 2 shards is missing"):
        check_spec(str(folder))
