"""The layers of a base model that a LoRA can change, and every name that a trainer may give one."""

import json
import re
from pathlib import Path
from typing import Any

from cxr.weights.families import FAMILIES, Family
from cxr.weights.files import weight_files
from cxr.weights.kinds import INDEX, read_header

UNET, TEXT, TEXT_2, TRANSFORMER = "unet", "text_encoder", "text_encoder_2", "transformer"
_PREFIXES = {
    "base_model.model.": None, "unet.": UNET, "text_encoder.": TEXT, "lora_unet_": UNET, "lora_te_": TEXT,
    "lora_te1_": TEXT, "lycoris_": None, "model.diffusion_model.": UNET, "diffusion_model.": UNET,
    "cond_stage_model.transformer.": TEXT, "text_encoders.clip_l.transformer.": TEXT,
    "text_encoder_2.": TEXT_2, "lora_te2_": TEXT_2, "text_encoders.clip_g.transformer.": TEXT_2,
    "transformer.": TRANSFORMER,
}  # fmt: skip
Shape = tuple[int, ...]


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes())


def read_family(base: Path) -> Family:
    """The entry of a verified model folder."""
    return FAMILIES[read_json(base / INDEX)["_class_name"]]


def read_shapes(part: Path) -> dict[str, Shape]:
    """Of all tensors that a part's weight files hold, by name."""
    return {name: shape for file in weight_files(part) for name, shape in read_header(file).shapes.items()}


def read_layers(base: Path) -> dict[str, dict[str, Shape]]:
    """The layers of a base model that a LoRA can change, by part and name, with their weights' shapes."""
    return {
        part: {
            name.removesuffix(".weight").removeprefix("text_model."): shape
            for name, shape in read_shapes(base / part).items()
            if name.endswith(".weight") and len(shape) in (2, 4) and "embeddings." not in name
        }
        for part in read_family(base).trained
    }


def layer_of(name: str) -> tuple[str | None, str]:
    """The part, where the name tells, and the layer's name with `_` between its words."""
    part = None
    while prefix := next((p for p in _PREFIXES if name.startswith(p)), None):
        part, name = part or _PREFIXES[prefix], name.removeprefix(prefix)
    return part, name.replace(".processor.", ".").replace(".", "_")


def trainer_names(shapes: dict[str, dict[str, Shape]]) -> dict[str, dict[str, str]]:
    """Every name a trainer may give a layer, with `_` between the words, to the layers of that name by part."""
    known: dict[str, dict[str, str]] = {}
    for part, layers in shapes.items():
        for layer in layers:
            for name in _text_names(layer) if part.startswith(TEXT) else _denoiser_names(layer, layers):
                known.setdefault(name, {})[part] = layer
    return known


def _denoiser_names(layer: str, layers: dict[str, Shape]) -> set[str]:
    names = (layer, original_name(layer, layers))
    return {
        name.replace(".", "_") for one in names for name in (one, one.removesuffix(".0"))
    }  # to_out of old diffusers


def _text_names(layer: str) -> set[str]:
    name = layer.replace(".", "_")
    names = {name, re.sub(r"_([qkv])_proj$", r"_to_\1", name.replace("_out_proj", "_to_out"))}
    return names | {f"text_model_{one}" for one in names}


def original_name(layer: str, layers: dict[str, Shape]) -> str:
    """What the original Stable Diffusion calls a layer of diffusers' UNet; its blocks are numbered through."""
    outer = {"conv_in": "input_blocks.0.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0",
             "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
             "add_embedding.linear_2": "label_emb.0.2"}  # fmt: skip
    if layer in outer:
        return outer[layer]
    middle = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
    if found := re.match(r"mid_block\.(\w+\.\d+)\.(.+)", layer):
        return f"middle_block.{middle.get(found[1], found[1])}.{_inner(found[2])}"
    found = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", layer)
    if found is None:
        return layer
    way, block, kind, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]

    def resnets(of: int) -> int:
        return len({name.split(".")[3] for name in layers if name.startswith(f"{way}_blocks.{of}.resnets.")})

    before = sum(resnets(of) for of in range(block))
    if way == "down":
        first = 1 + before + block  # conv_in, and a sampler behind each block
        return (
            f"input_blocks.{first + resnets(block)}.0.op"
            if kind == "downsamplers"
            else (f"input_blocks.{first + number}.{int(kind == 'attentions')}.{_inner(rest)}")
        )
    if kind == "upsamplers":
        attends = any(name.startswith(f"up_blocks.{block}.attentions.") for name in layers)
        return f"output_blocks.{before + resnets(block) - 1}.{1 + attends}.conv"
    return f"output_blocks.{before + number}.{int(kind == 'attentions')}.{_inner(rest)}"


def _inner(name: str) -> str:
    within = {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
              "conv_shortcut": "skip_connection"}  # fmt: skip
    return within.get(name, name)
