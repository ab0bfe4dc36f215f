"""LoRAs of the random model under the names of every trainer; weights and settings are the same throughout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cxr.diffusion.layers import TEXT, UNET, original_name, read_layers

RANK, ALPHA = 4, 8.0  # a strength of two, which weights may carry without rounding
Halves = dict[tuple[str, str], tuple[Tensor, Tensor]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def attention(random_model: Path) -> Halves:
    """Of every layer of attention, down [RANK, inputs] and up [outputs, RANK], large enough to be seen."""
    chance = torch.Generator().manual_seed(0)
    return {
        (part, layer): (torch.randn(RANK, shape[1], generator=chance), torch.randn(shape[0], RANK, generator=chance))
        for part, layers in read_layers(random_model).items()
        for layer, shape in layers.items()
        if layer.endswith(("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj"))
    }


Write = Callable[[Path, Halves], Path]


def kohya(folder: Path, halves: Halves, te: str = "lora_te", original: dict | None = None) -> Path:
    state = {}
    for (part, layer), (down, up) in halves.items():
        name = original_name(layer, original) if original and part == UNET else layer
        stem = ("lora_unet_" + name if part == UNET else f"{te}_text_model_{layer}").replace(".", "_")
        state |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": torch.tensor(ALPHA)}
    return saved(folder / "kohya.safetensors", state)


def diffusers_old(folder: Path, halves: Halves) -> Path:
    """Of 2023: attention processors. It kept no alpha, so the weights carry it."""
    state = {}
    for (part, layer), (down, up) in halves.items():
        if part == UNET:
            before, name = layer.removesuffix(".0").rsplit(".", 1)
            stem = f"unet.{before}.processor.{name}_lora"
        else:
            before, name = layer.rsplit(".", 1)
            stem = f"text_encoder.text_model.{before}.to_{name.split('_')[0]}_lora"
        state |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up * (ALPHA / RANK)}
    return saved(folder / "pytorch_lora_weights.safetensors", state)


def bare(folder: Path, halves: Halves) -> Path:
    """As the first of them: no part's name in front, for the UNet alone."""
    state = {}
    for (part, layer), (down, up) in halves.items():
        before, name = layer.removesuffix(".0").rsplit(".", 1)
        stem = f"{before}.processor.{name}_lora" if part == UNET else f"text_encoder.text_model.{layer}.lora"
        state |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up * (ALPHA / RANK)}
    return saved(folder / "any name.safetensors", state)


def diffusers_new(folder: Path, halves: Halves) -> Path:
    state = {}
    for (part, layer), (down, up) in halves.items():
        stem = f"unet.{layer}.lora" if part == UNET else f"text_encoder.text_model.{layer}.lora_linear_layer"
        state |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up * (ALPHA / RANK)}
    return saved(folder / "pytorch_lora_weights.safetensors", state)


def diffusers_peft(folder: Path, halves: Halves) -> Path:
    """As diffusers saves it now, with peft's settings in the header."""
    state = {}
    for (part, layer), (down, up) in halves.items():
        stem = f"unet.{layer}" if part == UNET else f"text_encoder.text_model.{layer}"
        state |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
    targets = {UNET: ["to_q", "to_k", "to_v", "to_out.0"], TEXT: ["q_proj", "k_proj", "v_proj", "out_proj"]}
    settings = {
        f"{part}.{name}": value
        for part, layers in targets.items()
        for name, value in (("r", RANK), ("lora_alpha", ALPHA), ("target_modules", layers))
    }
    return saved(folder / "pytorch_lora_weights.safetensors", state, {"lora_adapter_metadata": json.dumps(settings)})


def peft(folder: Path, halves: Halves, adapter: str = "", **settings: object) -> Path:
    """As peft's `save_pretrained` writes it."""
    state = {}
    for (part, layer), (down, up) in halves.items():
        stem = f"base_model.model.{layer if part == UNET else f'text_model.{layer}'}"
        state |= {f"{stem}.lora_A{adapter}.weight": down, f"{stem}.lora_B{adapter}.weight": up}
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, **settings}
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return saved(folder / "adapter_model.safetensors", state)


def comfy(folder: Path, halves: Halves, original: dict) -> Path:
    state = {}
    for (part, layer), (down, up) in halves.items():
        stem = f"diffusion_model.{original_name(layer, original)}" if part == UNET else f"text_encoder.{layer}"
        state |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up, f"{stem}.alpha": torch.tensor(ALPHA)}
    return saved(folder / "comfy.safetensors", state)


def saved(path: Path, state: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.clone().contiguous() for name, value in state.items()}, path, metadata)
    return path


@pytest.fixture(scope="session")
def forms(random_model: Path) -> dict[str, Write]:
    layers = read_layers(random_model)[UNET]
    return {
        "diffusers, with settings": diffusers_peft,
        "diffusers": diffusers_new,
        "diffusers of 2023": diffusers_old,
        "diffusers of 2023, no part named": bare,
        "peft": peft,
        "peft, adapter named": lambda folder, halves: peft(folder, halves, ".default"),
        "kohya": kohya,
        "kohya, lora_te1": lambda folder, halves: kohya(folder, halves, "lora_te1"),
        "kohya, original blocks": lambda folder, halves: kohya(folder, halves, original=layers),
        "other UIs": lambda folder, halves: comfy(folder, halves, layers),
    }
