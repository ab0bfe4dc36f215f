"""Whether the files of a base model are one whole model that can be loaded, before a GPU is claimed.

The networks are built from their configurations without memory (torch's device `meta`) and compared with the names and
shapes of the weights; libraries would fill in what is missing by chance, with a warning at most.
"""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from cxr.diffusion.layers import FILES, TEXT, UNET, Shape
from cxr.errors import BadInput
from cxr.weights.families import KNOWN_MODELS
from cxr.weights.kinds import INDEX, read_header

if TYPE_CHECKING:
    from torch import nn

VAE = "vae"
_FILES = {**FILES, VAE: "vae/diffusion_pytorch_model.safetensors"}
_SIDE = 256  # px of what is passed through on paper
_LARGEST = 1_000_000  # of any whole number in a configuration
_MOST = {"layers_per_block": 32, "num_hidden_layers": 128, "transformer_layers_per_block": 32, "num_class_embeds": 0}
_OF_OTHERS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim", "time_cond_proj_dim")
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # autoencoders until 2022


def check_folder(folder: Path) -> None:
    """`BadInput` unless the files of a diffusers folder, verified before, are a whole Stable Diffusion."""
    configs = {part: _read_config(folder / part / "config.json") for part in _FILES}
    _read_config(folder / INDEX)
    _refuse_other_families(folder, configs)
    networks = {}
    for part, file in _FILES.items():
        with _report_as_bad_input(folder / part / "config.json", f"describes no {part}"):
            networks[part] = _build_on_meta(part, configs[part])
        _compare_weights(
            folder / file, part, {name: tuple(tensor.shape) for name, tensor in networks[part].state_dict().items()}
        )
    with _report_as_bad_input(folder, "its networks do not work together"):
        _pass_through(networks)
    _check_tokenizer(folder / "tokenizer", configs[TEXT])
    _check_scheduler(folder)
    for file in _FILES.values():
        _check_finite(folder / file)


@contextlib.contextmanager
def _report_as_bad_input(path: Path, what: str) -> Iterator[None]:
    """Whatever a library makes of somebody's configuration, as one line."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # of json, tokenizers (in Rust), transformers, diffusers, torch: any
        why = " ".join(str(error).split())[:160]
        raise BadInput(f"{path}: {what} ({type(error).__name__}: {why}); fetch the model again") from None


def _read_config(path: Path) -> dict[str, Any]:
    with _report_as_bad_input(path, "is damaged"):
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError("not a mapping")
        for name, value in config.items():
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, int) and abs(number) > _MOST.get(name, _LARGEST) and number is not True:
                    raise ValueError(f"{name} is {number}")
        for name in ("initializer_factor", "initializer_range", "layer_norm_eps"):  # some are read on loading alone
            float(config.get(name, 0))
        Version(config.get("_diffusers_version", "0"))
        scale = config.get("scaling_factor", 1.0)  # of an autoencoder; latents are multiplied by it on sampling alone
        if not isinstance(scale, int | float) or not 0 < scale < math.inf:
            raise ValueError(f"scaling_factor is {str(scale)[:60]!r}")
        return config


def _refuse_other_families(folder: Path, configs: dict[str, dict[str, Any]]) -> None:
    """What calls itself Stable Diffusion 1.x or 2.x, and has another family's networks."""
    unet, vae, text = (configs[part] for part in (UNET, VAE, TEXT))
    if strange := [name for name in _OF_OTHERS if unet.get(name) is not None]:
        raise BadInput(f"{folder}: its UNet is of another family ({strange[0]}: {unet[strange[0]]!r}); {KNOWN_MODELS}")
    channels, latent = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if channels != latent or unet.get("out_channels", 4) != latent:
        what = " (inpainting)" if channels == 9 else ""
        raise BadInput(
            f"{folder}: its UNet takes {channels!r} channels{what} and its autoencoder has {latent!r}; {KNOWN_MODELS}"
        )
    if (width := unet.get("cross_attention_dim", 1280)) != text.get("hidden_size", 512):
        raise BadInput(
            f"{folder}: its UNet reads texts {width!r} wide, its text encoder writes {text.get('hidden_size', 512)!r}; "
            "they are of two models, fetch one whole model"
        )


def _build_on_meta(part: str, config: dict[str, Any]) -> "nn.Module":
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        if part == TEXT:
            return CLIPTextModel(CLIPTextConfig.from_dict(config))
        return (UNet2DConditionModel if part == UNET else AutoencoderKL).from_config(config)


def _pass_through(networks: "dict[str, Any]") -> None:
    """A picture, a text and noise through all three: shapes alone, nothing is computed."""
    import torch

    with torch.device("meta"), torch.no_grad():
        vae, unet, text = networks[VAE], networks[UNET], networks[TEXT]
        hidden = text(torch.zeros(1, 77, dtype=torch.long)).last_hidden_state
        latents = vae.encode(torch.zeros(1, 3, _SIDE, _SIDE)).latent_dist.mean
        noise = unet(latents, torch.zeros(1), hidden).sample
        if noise.shape != latents.shape or vae.decode(noise).sample.shape[1] != 3:
            raise ValueError("the UNet gives another shape than it takes")


def _compare_weights(path: Path, part: str, wanted: dict[str, Shape]) -> None:
    stored = {_modern_name(name, part): shape for name, shape in read_header(path).shapes.items()}
    wanted = {_modern_name(name, part): shape for name, shape in wanted.items()}
    for name, shape in wanted.items():
        if name not in stored:
            raise BadInput(f"{path}: has no {name}, which its config.json describes; fetch the model again")
        if stored[name] != shape and not (part == VAE and stored[name] == (*shape, 1, 1)):
            raise BadInput(
                f"{path}: {name} is {list(stored[name])}, by its config.json {list(shape)}; fetch the model again"
            )
    if part != TEXT and (more := stored.keys() - wanted.keys()):  # a text encoder's file may hold more of CLIP
        raise BadInput(f"{path}: holds {min(more)}, which its config.json does not describe; fetch the model again")


def _modern_name(name: str, part: str) -> str:
    if part == TEXT:
        return name.removeprefix("text_model.")
    layer, _, kind = name.rpartition(".")
    before, _, last = layer.rpartition(".")
    return f"{before}.{_OLD_ATTENTION[last]}.{kind}" if part == VAE and last in _OLD_ATTENTION else name


def _check_tokenizer(folder: Path, text: dict[str, Any]) -> None:
    from transformers import CLIPTokenizer

    with _report_as_bad_input(folder, "is no tokenizer of CLIP"):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        length, room = tokenizer.model_max_length, text.get("max_position_embeddings", 77)
        if length > room:
            raise ValueError(f"model_max_length is {length}, the text encoder reads {room}")
        ids = tokenizer("chest X-ray", padding="max_length", max_length=length, truncation=True).input_ids
        if max(len(tokenizer) - 1, *ids) >= text.get("vocab_size", 49408):
            raise ValueError(f"it knows {len(tokenizer)} words, the text encoder fewer")


def _check_scheduler(folder: Path) -> None:
    import diffusers
    import torch

    path = folder / "scheduler" / "scheduler_config.json"
    with _report_as_bad_input(path, "describes no schedule"):
        config = _read_config(path)
        scheduler = getattr(diffusers, json.loads((folder / INDEX).read_bytes())["scheduler"][1])
        scheduler.from_pretrained(path.parent, local_files_only=True)
        sampled = diffusers.DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++")
        for scheduler in (sampled, diffusers.DDPMScheduler.from_config(config)):  # as `generate` and `finetune` have it
            scheduler.set_timesteps(2)
            if not torch.isfinite(scheduler.alphas_cumprod).all():
                raise ValueError("its noise is no number")
        latents = torch.zeros(1, 4, 8, 8)
        for step in sampled.timesteps:  # some settings are read on sampling alone
            latents = sampled.step(torch.ones_like(latents), step, latents).prev_sample
        if not torch.isfinite(latents).all():
            raise ValueError("its steps give no numbers")


def _check_finite(path: Path) -> None:
    import torch
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            if not torch.isfinite(file.get_tensor(name).float()).all():
                raise BadInput(f"{path}: {name} holds values that are not numbers; fetch the model again")
