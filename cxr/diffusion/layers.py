"""The layers of a base model that a LoRA can change, and every name that a trainer may give one."""

import re
from pathlib import Path

from cxr.weights.kinds import read_header

UNET, TEXT = "unet", "text_encoder"
FILES = {UNET: "unet/diffusion_pytorch_model.safetensors", TEXT: "text_encoder/model.safetensors"}
_PREFIXES = {
    "base_model.model.": None, "unet.": UNET, "text_encoder.": TEXT, "lora_unet_": UNET, "lora_te_": TEXT,
    "lora_te1_": TEXT, "lycoris_": None, "model.diffusion_model.": UNET, "diffusion_model.": UNET,
    "cond_stage_model.transformer.": TEXT, "text_encoders.clip_l.transformer.": TEXT,
}  # fmt: skip
Shape = tuple[int, ...]


def read_layers(base: Path) -> dict[str, dict[str, Shape]]:
    """The layers of a base model that a LoRA can change, by part and name, with their weights' shapes."""
    found: dict[str, dict[str, Shape]] = {}
    for part, file in FILES.items():
        shapes = read_header(base / file).shapes
        found[part] = {
            name.removesuffix(".weight").removeprefix("text_model."): shape
            for name, shape in shapes.items()
            if name.endswith(".weight") and len(shape) in (2, 4) and "embeddings." not in name
        }
    return found


def layer_of(name: str) -> tuple[str | None, str]:
    """The part, where the name tells, and the layer's name with `_` between its words."""
    part = None
    while prefix := next((p for p in _PREFIXES if name.startswith(p)), None):
        part, name = part or _PREFIXES[prefix], name.removeprefix(prefix)
    return part, name.replace(".processor.", ".").replace(".", "_")


def trainer_names(shapes: dict[str, dict[str, Shape]]) -> dict[str, tuple[str, str]]:
    """Every name a trainer may give a layer, with `_` between the words, to its part and name."""
    known = {}
    for layer in shapes[UNET]:
        for name in (layer, original_name(layer, shapes[UNET])):
            known[name.replace(".", "_")] = (UNET, layer)
            known[name.removesuffix(".0").replace(".", "_")] = (UNET, layer)  # to_out of old diffusers
    for layer in shapes[TEXT]:
        name = layer.replace(".", "_")
        old = name.replace("_out_proj", "_to_out")
        for one in (name, re.sub(r"_([qkv])_proj$", r"_to_\1", old)):
            known[one] = known[f"text_model_{one}"] = (TEXT, layer)
    return known


def original_name(layer: str, layers: dict[str, Shape]) -> str:
    """What the original Stable Diffusion calls a layer of diffusers' UNet; its blocks are numbered through."""
    outer = {"conv_in": "input_blocks.0.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0",
             "time_embedding.linear_2": "time_embed.2"}  # fmt: skip
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
