"""Whether the files of a base model are one whole model that can be loaded, before a GPU is claimed.

The networks are built from their configurations without memory (torch's device `meta`) and compared with the names and
shapes of the weights; libraries would fill in what is missing by chance, with a warning at most.
"""

import contextlib
import importlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from cxr.diffusion.layers import TEXT, read_family, read_shapes
from cxr.errors import BadInput
from cxr.weights.files import weight_files
from cxr.weights.kinds import INDEX

if TYPE_CHECKING:
    from torch import nn

VAE = "vae"
SIDE = 256  # px of what is passed through on paper
Config = dict[str, Any]
Networks = dict[str, Any]  # by part, on torch's device `meta`
_LARGEST = 1_000_000  # of any whole number in a configuration
_MOST = {"layers_per_block": 32, "num_hidden_layers": 128, "transformer_layers_per_block": 32, "num_class_embeds": 0,
         "num_layers": 256}  # fmt: skip
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # autoencoders until 2022


def check_folder(
    folder: Path,
    refuse_others: Callable[[Path, Mapping[str, Config]], None],
    pass_through: Callable[[Networks], None],
    check_schedule: Callable[[Config], None],
) -> None:
    """`BadInput` unless the files of a diffusers folder, verified before, are a whole model of its family.

    Args:
        refuse_others: raises `BadInput` where the configurations are of another family, or of two models.
        pass_through: raises where the networks do not work together; nothing is computed.
        check_schedule: raises where the scheduler's configuration gives no steps to train or to sample by.
    """
    index = read_config(folder / INDEX)
    classes = {part: index[part] for part in read_family(folder).parts if (index.get(part) or [None])[0]}
    parts = [part for part in classes if not part.startswith(("tokenizer", "scheduler"))]
    configs = {part: read_config(folder / part / "config.json") for part in parts}
    refuse_others(folder, configs)
    networks = {}
    for part in parts:
        with report_as_bad_input(folder / part / "config.json", f"describes no {part}"):
            networks[part] = _build_on_meta(_load_class(*classes[part]), configs[part])
        _compare_weights(folder / part, networks[part])
    with report_as_bad_input(folder, "its networks do not work together"):
        pass_through(networks)
    for part in (name for name in classes if name.startswith("tokenizer")):
        _check_tokenizer(folder / part, classes[part][1], configs[part.replace("tokenizer", TEXT)])
    with report_as_bad_input(folder / "scheduler" / "scheduler_config.json", "describes no schedule"):
        config = read_config(folder / "scheduler" / "scheduler_config.json")
        _load_class(*classes["scheduler"]).from_pretrained(folder / "scheduler", local_files_only=True)
        check_schedule(config)
    for part in parts:
        for file in weight_files(folder / part):
            _check_finite(file)


@contextlib.contextmanager
def report_as_bad_input(path: Path, what: str) -> Iterator[None]:
    """Whatever a library makes of somebody's configuration, as one line."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # of json, tokenizers (in Rust), transformers, diffusers, torch: any
        why = " ".join(str(error).split())[:160]
        raise BadInput(f"{path}: {what} ({type(error).__name__}: {why}); fetch the model again") from None


def read_config(path: Path) -> dict[str, Any]:
    with report_as_bad_input(path, "is damaged"):
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
        shift = config.get("shift_factor") or 0.0
        if not isinstance(shift, int | float) or not math.isfinite(shift):
            raise ValueError(f"shift_factor is {str(shift)[:60]!r}")
        return config


def _load_class(library: str, name: str) -> Any:
    return getattr(importlib.import_module(library), name)


def _build_on_meta(kind: Any, config: Config) -> "nn.Module":
    import torch

    with torch.device("meta"):  # of diffusers, or of transformers
        return kind.from_config(config) if hasattr(kind, "from_config") else kind(kind.config_class.from_dict(config))


def _compare_weights(folder: Path, network: "nn.Module") -> None:
    part = TEXT if folder.name.startswith(TEXT) else folder.name
    stored = {_modern_name(name, part): shape for name, shape in read_shapes(folder).items()}
    wanted = {_modern_name(name, part): tuple(value.shape) for name, value in network.state_dict().items()}
    tied = getattr(network, "_tied_weights_keys", None) or {}  # by transformers: stored once, under either name
    for name, source in tied.items():
        if source in stored or name in stored:
            wanted.pop(name if source in stored else source, None)
    for name, shape in wanted.items():
        if name not in stored:
            raise BadInput(f"{folder}: has no {name}, which its config.json describes; fetch the model again")
        if stored[name] != shape and not (part == VAE and stored[name] == (*shape, 1, 1)):
            raise BadInput(
                f"{folder}: {name} is {list(stored[name])}, by its config.json {list(shape)}; fetch the model again"
            )
    if part != TEXT and (more := stored.keys() - wanted.keys()):  # a text encoder's file may hold more of CLIP
        raise BadInput(f"{folder}: holds {min(more)}, which its config.json does not describe; fetch the model again")


def _modern_name(name: str, part: str) -> str:
    if part == TEXT:
        return name.removeprefix("text_model.").removeprefix("model.")
    layer, _, kind = name.rpartition(".")
    before, _, last = layer.rpartition(".")
    return f"{before}.{_OLD_ATTENTION[last]}.{kind}" if part == VAE and last in _OLD_ATTENTION else name


def _check_tokenizer(folder: Path, name: str, text: Config) -> None:
    with report_as_bad_input(folder, f"is no {name}"):
        tokenizer = _load_class("transformers", name).from_pretrained(folder, local_files_only=True)
        length = min(tokenizer.model_max_length, _LARGEST)  # of one without a length, transformers says 1e30
        if name.startswith("CLIP") and length > (room := text.get("max_position_embeddings", 77)):
            raise ValueError(f"model_max_length is {length}, the text encoder reads {room}")
        length = min(length, 300)
        ids = tokenizer("chest X-ray", padding="max_length", max_length=length, truncation=True).input_ids
        if max(len(tokenizer) - 1, *ids) >= text.get("vocab_size", 49408):
            raise ValueError(f"it knows {len(tokenizer)} words, the text encoder fewer")


def check_denoising(config: Config) -> None:
    """Raises unless DPM-Solver++ and DDPM, as `generate` and `finetune` have them, can be made of the scheduler's
    configuration."""
    import diffusers
    import torch

    sampled = diffusers.DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++")
    for scheduler in (sampled, diffusers.DDPMScheduler.from_config(config)):
        scheduler.set_timesteps(2)
        if not torch.isfinite(scheduler.alphas_cumprod).all():
            raise ValueError("its noise is no number")
    check_steps(sampled)


def check_steps(scheduler: Any) -> None:
    """Raises where two steps fail; some settings are read on sampling alone."""
    import torch

    scheduler.set_timesteps(2)
    latents = torch.zeros(1, 4, 8, 8)
    for step in scheduler.timesteps:
        latents = scheduler.step(torch.ones_like(latents), step, latents).prev_sample
    if not torch.isfinite(latents).all():
        raise ValueError("its steps give no numbers")


def _check_finite(path: Path) -> None:
    import torch
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            if not torch.isfinite(file.get_tensor(name).float()).all():
                raise BadInput(f"{path}: {name} holds values that are not numbers; fetch the model again")
