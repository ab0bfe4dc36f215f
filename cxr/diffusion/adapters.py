"""What a method trains and what it leaves: every weight and a diffusers folder, or a LoRA in both usual forms."""

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
from cxr.errors import BadInput
from cxr.weights import forget_place

ATTENTION = {
    "unet": ["to_q", "to_k", "to_v", "to_out.0"],
    "text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj"],
}
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LORA_FILE, KOHYA_FILE = "pytorch_lora_weights.safetensors", "kohya_lora.safetensors"


def check_size(model: Path, size: int) -> None:
    """`BadInput` unless the model's autoencoder can halve the size as often as it does."""
    factor = 2 ** (len(json.loads((model / "vae" / "config.json").read_text())["block_out_channels"]) - 1)
    if size % factor:
        raise BadInput(f"--size {size}: the model's autoencoder needs a multiple of {factor}")


def load_base(model: Path) -> StableDiffusionPipeline:
    """The base model in full precision on this process's device, to be trained."""
    pipe = StableDiffusionPipeline.from_pretrained(
        model, dtype=torch.float32, use_safetensors=True, local_files_only=True, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe.to("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(config: AdapterConfig, device: torch.device) -> torch.dtype:
    """What the networks compute in; what is trained is float32 in any case."""
    if config.precision != "auto":
        return PRECISIONS[config.precision]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


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
    precision = pick_precision(config, pipe.device)
    for module in (pipe.vae, pipe.unet, pipe.text_encoder):
        module.requires_grad_(False).eval()
    for name in ATTENTION:
        module = getattr(pipe, name)
        if config.method == "lora":
            module.to(precision)
        if name in trained_parts(config):
            _make_trainable(name, module, config, lora_seed)
    return {
        f"{name}.{parameter_name}": parameter
        for name in trained_parts(config)
        for parameter_name, parameter in getattr(pipe, name).named_parameters()
        if parameter.requires_grad
    }


def trained_parts(config: AdapterConfig) -> list[str]:
    return ["unet", "text_encoder"] if config.train_text_encoder else ["unet"]


def _make_trainable(
    name: str,
    module: UNet2DConditionModel | CLIPTextModel,
    config: AdapterConfig,
    lora_seed: Callable[[int], int],
) -> None:
    if config.method == "lora":
        _add_lora(
            module,
            LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=ATTENTION[name]),
            lora_seed(list(ATTENTION).index(name)),
        )
    else:
        module.requires_grad_(True)
    module.train()
    if config.gradient_checkpointing:
        switch = "enable_gradient_checkpointing" if name == "unet" else "gradient_checkpointing_enable"
        getattr(module, switch)()


def _add_lora(module: UNet2DConditionModel | CLIPTextModel, lora: LoraConfig, seed: int) -> None:
    """Starts as no change: A is drawn as peft draws it (from a copy of torch's generator, seeded), B is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module.add_adapter(lora)
    cast_training_params(module)


def save(pipe: StableDiffusionPipeline, config: AdapterConfig, folder: Path) -> None:
    """Writes what `generate` takes: a diffusers folder in float32 for `--model`, or LoRA files for `--lora`.

    To be called inside `Trainer.averaged`, so that it is the moving average that is left, where there is one.
    """
    if config.method == "lora":
        save_lora(pipe, config, folder)
    else:
        pipe.save_pretrained(folder, safe_serialization=True)
        forget_place(folder)


def save_lora(pipe: StableDiffusionPipeline, config: AdapterConfig, folder: Path) -> None:
    """`LORA_FILE` as diffusers loads it, with rank and alpha in its metadata, and `KOHYA_FILE` for other programs."""
    states = {name: get_peft_model_state_dict(getattr(pipe, name)) for name in trained_parts(config)}
    if "text_encoder" in states:
        states["text_encoder"] = _as_published(states["text_encoder"])
    StableDiffusionPipeline.save_lora_weights(
        folder,
        **{f"{name}_lora_layers": state for name, state in states.items()},
        **{f"{name}_lora_adapter_metadata": metadata_of(getattr(pipe, name)) for name in states},
    )
    sort_metadata(folder / LORA_FILE)
    state = {f"{name}.{key}": value for name, held in states.items() for key, value in held.items()}
    save_file(kohya_form(state, config.alpha), folder / KOHYA_FILE)


def metadata_of(module: UNet2DConditionModel | CLIPTextModel) -> dict[str, Any]:
    """The LoRA's settings; peft holds some in sets, whose order is another one in each process."""
    settings = module.peft_config["default"].to_dict()
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


def _as_published(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """CLIP's keys as every published LoRA has them; transformers 5 dropped the level `text_model`."""
    return {key if key.startswith("text_model.") else f"text_model.{key}": value for key, value in state.items()}


def kohya_form(state: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """The LoRA under the names of kohya's sd-scripts; diffusers writes the rank as alpha, here it is the alpha."""
    kohya = convert_state_dict_to_kohya(state)
    return {
        key.replace("lora_te1_", "lora_te_"): torch.tensor(float(alpha))
        if key.endswith(".alpha")
        else value.contiguous()
        for key, value in kohya.items()
    }
