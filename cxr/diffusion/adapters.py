"""Which weights of a model a method trains; a LoRA in both usual forms, and added to a base's weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.training_utils import cast_training_params
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn

from cxr.diffusion.config import AdapterConfig
from cxr.diffusion.layers import TEXT, TEXT_2, TRANSFORMER, UNET
from cxr.diffusion.lora_files import METADATA, PIPELINE, Change, Lora
from cxr.diffusion.precision import pick_dtype
from cxr.errors import BadInput
from cxr.weights.families import FAMILIES, Family
from cxr.weights.kinds import KOHYA_FILE, LORA_FILE


def make_trainable(
    pipe: DiffusionPipeline, config: AdapterConfig, lora_seed: Callable[[int], int]
) -> dict[str, nn.Parameter]:
    """Freezes all but what the method trains.

    Frozen networks under a LoRA go to the precision they compute in, as only the LoRA is left behind; the autoencoder
    stays in float32.

    Args:
        lora_seed: of the first weights of a LoRA, by the number of the network that it is added to.

    Returns:
        The trained parameters, float32, under the network's name and theirs.
    """
    precision = pick_dtype(config.precision, "train", pipe.device)
    for module in pipe.components.values():
        if isinstance(module, nn.Module):
            module.requires_grad_(False).eval()
    family = family_of(pipe)
    for number, (name, layers) in enumerate(family.trained.items()):
        module = getattr(pipe, name)
        if config.trains_lora:
            module.to(precision)
        if name not in trained_parts(pipe, config):
            continue
        if config.trains_lora:
            chosen = family.distilled if config.distills else layers
            lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=list(chosen))
            _add_new_lora(module, lora, lora_seed(number))
        else:
            module.requires_grad_(True)
        module.train()
        if config.gradient_checkpointing:
            switch = "gradient_checkpointing_enable" if name.startswith(TEXT) else "enable_gradient_checkpointing"
            getattr(module, switch)()
    return {
        f"{name}.{parameter_name}": parameter
        for name in trained_parts(pipe, config)
        for parameter_name, parameter in getattr(pipe, name).named_parameters()
        if parameter.requires_grad
    }


def family_of(pipe: DiffusionPipeline) -> Family:
    return FAMILIES[type(pipe).__name__]


def trained_parts(pipe: DiffusionPipeline, config: AdapterConfig) -> list[str]:
    """The denoiser, and the text encoders if they are trained too."""
    denoiser, *encoders = family_of(pipe).trained
    return [denoiser, *encoders] if config.train_text_encoder else [denoiser]


def _add_new_lora(module: Any, lora: LoraConfig, seed: int) -> None:
    """Starts as no change: A is drawn as peft draws it (from a copy of torch's generator, seeded), B is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if hasattr(module, "add_adapter"):
            module.add_adapter(lora)
        else:  # not every network of diffusers has it
            inject_adapter_in_model(lora, module)
    cast_training_params(module)


def save_lora(pipe: DiffusionPipeline, config: AdapterConfig, folder: Path) -> None:
    """`LORA_FILE` as diffusers names and loads it, with rank and alpha in its metadata; of a model with a UNet also
    `KOHYA_FILE`, for other programs."""
    state: dict[str, torch.Tensor] = {}
    settings: dict[str, Any] = {}
    for part in trained_parts(pipe, config):
        for key, value in get_peft_model_state_dict(getattr(pipe, part)).items():
            # transformers 5 dropped the level that every published LoRA has
            name = f"text_model.{key.removeprefix('text_model.')}" if part.startswith(TEXT) else key
            state[f"{part}.{name}"] = value
        settings |= {f"{part}.{name}": value for name, value in lora_metadata(getattr(pipe, part)).items()}
    metadata = {"format": "pt", METADATA: json.dumps(settings, indent=2, sort_keys=True)}
    if TRANSFORMER in family_of(pipe).trained:  # Sana's and PixArt-Sigma's have layers of the same names and shapes
        metadata[PIPELINE] = type(pipe).__name__
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / LORA_FILE, metadata)
    sort_metadata(folder / LORA_FILE)
    if UNET in family_of(pipe).trained:
        save_file(to_kohya(state, config.alpha, TEXT_2 in family_of(pipe).trained), folder / KOHYA_FILE)


def lora_metadata(module: Any) -> dict[str, Any]:
    """The LoRA's settings, without this machine's path; peft holds some in sets, in another order in each process."""
    settings = module.peft_config["default"].to_dict() | {"base_model_name_or_path": None}
    return {name: sorted(value) if isinstance(value, set) else value for name, value in settings.items()}


def sort_metadata(path: Path) -> None:
    """safetensors writes metadata in an order that changes by chance; sorted, the same weights are the same bytes."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])


def to_kohya(state: dict[str, torch.Tensor], alpha: float, numbered: bool) -> dict[str, torch.Tensor]:
    """The LoRA under the names of kohya's sd-scripts; diffusers writes the rank as alpha, here it is the alpha.

    Args:
        numbered: whether there are two text encoders; the only one of others is called `lora_te`, not `lora_te1`.
    """
    kohya = convert_state_dict_to_kohya(state)
    return {
        key if numbered else key.replace("lora_te1_", "lora_te_"): torch.tensor(float(alpha))
        if key.endswith(".alpha")
        else value.contiguous()
        for key, value in kohya.items()
    }


@torch.no_grad()
def add_lora(pipe: DiffusionPipeline, lora: Lora, scale: float) -> None:
    """Adds the LoRA to the weights of every layer it names, with the rounding of peft's `merge` on a CPU.

    Raises:
        BadInput: a layer is not in the pipeline as it was in its files, or the result is no number.
    """
    for change, down, up in lora.tensors():
        try:
            weight: torch.Tensor = layer_of(pipe, change).get_parameter("weight")
        except AttributeError:
            raise BadInput(f"{lora.path}: {change.layer} is not in this base model; give the base it is for") from None
        halves = (half.to(weight.dtype).float().flatten(1) for half in (up, down))  # [outputs, rank], [rank, inputs]
        added = (next(halves) @ next(halves)) * (change.strength * scale)
        weight += added.to(weight.dtype).reshape(weight.shape)
        if not torch.isfinite(weight).all():
            raise BadInput(f"{lora.path}: makes {change.layer} values that are no numbers; its training failed")


def layer_of(pipe: DiffusionPipeline, change: Change) -> nn.Module:
    network = getattr(pipe, change.part)
    inner = getattr(network, "text_model", network)
    try:
        return inner.get_submodule(change.layer)
    except AttributeError:  # beside that level
        return network.get_submodule(change.layer)
