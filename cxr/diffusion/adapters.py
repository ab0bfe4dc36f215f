"""Which weights of Stable Diffusion a method trains; a LoRA in both usual forms, and added to a base's weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import cast_training_params
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextModel

from cxr.diffusion.config import AdapterConfig
from cxr.diffusion.layers import UNET
from cxr.diffusion.lora_files import Change, Lora
from cxr.diffusion.precision import pick_dtype
from cxr.errors import BadInput
from cxr.weights.kinds import KOHYA_FILE, LORA_FILE

ATTENTION = {"unet": ["to_q", "to_k", "to_v", "to_out.0"], "text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj"]}


def make_trainable(
    pipe: StableDiffusionPipeline, config: AdapterConfig, lora_seed: Callable[[int], int]
) -> dict[str, nn.Parameter]:
    """Freezes all but what the method trains.

    Frozen networks under a LoRA go to the precision they compute in, as only the LoRA is left behind; the autoencoder
    stays in float32.

    Args:
        lora_seed: of the first weights of a LoRA, by the number of the network that it is added to.

    Returns:
        The trained parameters, float32, under `unet.` or `text_encoder.` and their names.
    """
    precision = pick_dtype(config.precision, "train", pipe.device)
    for module in (pipe.vae, pipe.unet, pipe.text_encoder):
        module.requires_grad_(False).eval()
    for number, name in enumerate(ATTENTION):
        module = getattr(pipe, name)
        if config.method == "lora":
            module.to(precision)
        if name not in trained_parts(config):
            continue
        if config.method == "lora":
            lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=ATTENTION[name])
            _add_new_lora(module, lora, lora_seed(number))
        else:
            module.requires_grad_(True)
        module.train()
        if config.gradient_checkpointing:
            switch = "enable_gradient_checkpointing" if name == "unet" else "gradient_checkpointing_enable"
            getattr(module, switch)()
    return {
        f"{name}.{parameter_name}": parameter
        for name in trained_parts(config)
        for parameter_name, parameter in getattr(pipe, name).named_parameters()
        if parameter.requires_grad
    }


def trained_parts(config: AdapterConfig) -> list[str]:
    return ["unet", "text_encoder"] if config.train_text_encoder else ["unet"]


def _add_new_lora(module: UNet2DConditionModel | CLIPTextModel, lora: LoraConfig, seed: int) -> None:
    """Starts as no change: A is drawn as peft draws it (from a copy of torch's generator, seeded), B is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module.add_adapter(lora)
    cast_training_params(module)


def save_lora(pipe: StableDiffusionPipeline, config: AdapterConfig, folder: Path) -> None:
    """`LORA_FILE` as diffusers loads it, with rank and alpha in its metadata, and `KOHYA_FILE` for other programs."""
    states = {name: get_peft_model_state_dict(getattr(pipe, name)) for name in trained_parts(config)}
    if "text_encoder" in states:
        held = states["text_encoder"].items()  # transformers 5 dropped the level that every published LoRA has
        states["text_encoder"] = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in held}
    StableDiffusionPipeline.save_lora_weights(
        folder,
        **{f"{name}_lora_layers": state for name, state in states.items()},
        **{f"{name}_lora_adapter_metadata": lora_metadata(getattr(pipe, name)) for name in states},
    )
    sort_metadata(folder / LORA_FILE)
    state = {f"{name}.{key}": value for name, part in states.items() for key, value in part.items()}
    save_file(to_kohya(state, config.alpha), folder / KOHYA_FILE)


def lora_metadata(module: UNet2DConditionModel | CLIPTextModel) -> dict[str, Any]:
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


def to_kohya(state: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """The LoRA under the names of kohya's sd-scripts; diffusers writes the rank as alpha, here it is the alpha."""
    kohya = convert_state_dict_to_kohya(state)
    return {
        key.replace("lora_te1_", "lora_te_"): torch.tensor(float(alpha))
        if key.endswith(".alpha")
        else value.contiguous()
        for key, value in kohya.items()
    }


@torch.no_grad()
def add_lora(pipe: StableDiffusionPipeline, lora: Lora, scale: float) -> None:
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


def layer_of(pipe: StableDiffusionPipeline, change: Change) -> nn.Module:
    if change.part == UNET:
        return pipe.unet.get_submodule(change.layer)
    return getattr(pipe.text_encoder, "text_model", pipe.text_encoder).get_submodule(change.layer)
