"""A pipeline in one file under the names of the original Stable Diffusion, as model sites give it."""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cxr.diffusion.layers import original_name

State = dict[str, Tensor]
RESNET = {"norm1": "in_layers.0", "norm2": "out_layers.0"}  # beside what `original_name` has
VAE_NAMES = (
    (r"(down|up)_blocks\.(\d+)\.resnets\.(\d+)", r"\1.\2.block.\3"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d+)\.upsamplers\.0", r"up.\1.upsample"), (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"mid_block\.resnets\.0", "mid.block_1"), (r"mid_block\.resnets\.1", "mid.block_2"),
    ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"), ("group_norm", "norm"), (r"to_([qkv])", r"\1"),
    (r"to_out\.0", "proj_out"),
)  # fmt: skip
CLIP_NAMES = (
    (r"encoder\.layers\.", "transformer.resblocks."), ("layer_norm", "ln_"), (r"\.fc1\.", ".c_fc."),
    (r"\.fc2\.", ".c_proj."), (r"\.self_attn\.", ".attn."), ("final_ln_", "ln_final"),
    (r"embeddings\.token_embedding", "token_embedding"),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
)  # fmt: skip


def save_single_file(pipe: Any, path: Path, open_clip: bool = False, metadata: dict[str, str] | None = None) -> Path:
    """Args: open_clip: whether the only text encoder is OpenCLIP's, as of Stable Diffusion 2."""
    state = {f"model.diffusion_model.{name}": value for name, value in original_unet(pipe.unet).items()}
    state |= {f"first_stage_model.{name}": value for name, value in original_vae(pipe.vae).items()}
    if hasattr(pipe, "text_encoder_2"):
        state |= clip(pipe.text_encoder, "conditioner.embedders.0.transformer.")
        state |= {
            f"conditioner.embedders.1.model.{name}": v for name, v in open_clip_names(pipe.text_encoder_2).items()
        }
    elif open_clip:
        state |= {f"cond_stage_model.model.{name}": value for name, value in open_clip_names(pipe.text_encoder).items()}
    else:
        state |= clip(pipe.text_encoder, "cond_stage_model.transformer.")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path, metadata)
    return path


def original_unet(unet: nn.Module) -> State:
    layers = {name.rpartition(".")[0]: tuple(value.shape) for name, value in unet.state_dict().items()}
    state = {}
    for name, value in unet.state_dict().items():
        layer, _, kind = name.rpartition(".")
        named = "out.0" if layer == "conv_norm_out" else original_name(layer, layers)
        before, _, last = named.rpartition(".")
        if ".resnets." in layer and last in RESNET:
            named = f"{before}.{RESNET[last]}"
        state[f"{named}.{kind}"] = value
    return state


def original_vae(vae: nn.Module) -> State:
    state, last = {}, len(vae.config.block_out_channels) - 1
    for name, value in vae.state_dict().items():
        attends = "attentions" in name and value.ndim == 2
        for pattern, instead in VAE_NAMES:
            name = re.sub(pattern, instead, name)
        name = re.sub(r"decoder\.up\.(\d+)", lambda found: f"decoder.up.{last - int(found[1])}", name)
        state[name] = value[:, :, None, None] if attends else value
    return state


def clip(encoder: nn.Module, prefix: str) -> State:
    return {f"{prefix}text_model.{name.removeprefix('text_model.')}": v for name, v in encoder.state_dict().items()}


def open_clip_names(encoder: nn.Module) -> State:
    state: State = {}
    for name, value in encoder.state_dict().items():
        name = name.removeprefix("text_model.")
        if "self_attn.k_proj" in name or "self_attn.v_proj" in name:
            continue
        if "self_attn.q_proj" in name:
            parts = [encoder.state_dict()[name_of] for name_of in same_layer(encoder, name)]
            value, name = torch.cat(parts), name.replace("q_proj.", "in_proj_")
        for pattern, instead in CLIP_NAMES:
            name = re.sub(pattern, instead, name)
        state["text_projection" if name == "text_projection.weight" else name] = (
            value.T if name == "text_projection.weight" else value
        )
    return state


def same_layer(encoder: nn.Module, name: str) -> list[str]:
    full = next(key for key in encoder.state_dict() if key.removeprefix("text_model.") == name)
    return [full.replace("q_proj", f"{letter}_proj") for letter in "qkv"]
