"""LoRA files of the usual trainers: which layers of a base model one changes, and how strongly.

Read are the names of diffusers (old and new), of peft and of kohya's sd-scripts, which other programs use too, the last
also with the numbers of the original Stable Diffusion (`input_blocks`), for the denoiser and for text encoders. A layer
is looked up among those that the base model's own files hold; a file of which any part finds none is refused.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.diffusion.layers import TEXT, UNET, Shape, layer_of, read_json, read_layers, trainer_names
from cxr.errors import BadInput
from cxr.weights.families import FAMILIES
from cxr.weights.kinds import ADAPTER_CONFIG, ADAPTER_FILE, INDEX, LORA_KEY, Tensors, read_header, refuse_not_lora

if TYPE_CHECKING:
    from torch import Tensor

PIPELINE = "pipeline"  # in a header that we wrote: what it was trained on, as model_index.json calls it
METADATA = "lora_adapter_metadata"  # where diffusers keeps peft's settings in a file's header
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # such a start leaves another base than the named one
_SAY_WHICH = "save it with diffusers' save_lora_weights"
_WIDTHS = {768: " (Stable Diffusion 1.x)", 1024: " (Stable Diffusion 2.x)", 2048: " (Stable Diffusion XL)"}


@dataclass(frozen=True)
class Change:
    """What a LoRA adds to one layer: `strength * up @ down`."""

    part: str  # of the model, as its folder calls it
    layer: str  # as the module is called; of a text encoder below its `text_model`
    down: str  # tensors of the file: [rank, inputs, ...], [outputs, rank, ...]
    up: str
    rank: int
    strength: float  # alpha / rank, or what the settings say


@dataclass(frozen=True)
class Lora:
    """A LoRA that fits a base model in all its layers."""

    path: Path
    parts: tuple[str, ...]  # of the model that a LoRA can change
    changes: tuple[Change, ...]
    assumed: bool  # peft's names without its settings: alpha is taken to be the rank

    @property
    def summary(self) -> dict[str, Any]:
        """For a record: how many layers are changed, and the rank (the lowest and the highest, if they differ)."""
        ranks = sorted({change.rank for change in self.changes})
        layers = {part: sum(change.part == part for change in self.changes) for part in self.parts}
        return {"layers": layers, "rank": ranks[0] if len(ranks) == 1 else [ranks[0], ranks[-1]]}

    def tensors(self) -> "Iterator[tuple[Change, Tensor, Tensor]]":
        """Each change with its halves (down, up), as stored."""
        from safetensors import safe_open

        with safe_open(self.path, "pt") as file:
            for change in self.changes:
                yield change, file.get_tensor(change.down), file.get_tensor(change.up)


@dataclass
class _Halves:
    """Where the file keeps what it adds to a layer."""

    down: str | None = None
    up: str | None = None
    alpha: str | None = None


@dataclass
class _Settings:
    """Those of peft, for one part of a model."""

    alpha: float
    root: bool  # rsLoRA: alpha / sqrt(rank)
    patterns: dict[str, float] = field(default_factory=dict)  # endings of layers' names with an alpha of their own


def read_lora(path: Path, base: Path) -> Lora:
    """The LoRA at `path` for the diffusers folder `base`; reads the headers of both and the file's alphas.

    Raises:
        BadInput: it is something else, is damaged, or does not fit the base in all its parts; the line says what.
    """
    header = read_header(path)
    refuse_not_lora(path, header.shapes)
    ours, theirs = read_json(base / INDEX)["_class_name"], header.metadata.get(PIPELINE)
    if theirs not in (None, ours):
        raise BadInput(
            f"{path}: made for another base model (a {theirs[:80]}, this is a {ours}); give the base it is for"
        )
    shapes = read_layers(base)
    _check_text_width(path, header, shapes.get(UNET, {}))
    halves = _group_by_layer(path, header, shapes)
    settings = _read_settings(path, header, tuple(shapes))
    alphas = _read_alphas(path, header, [half.alpha for half in halves.values() if half.alpha])
    changes = []
    for (part, layer), half in sorted(halves.items()):
        down, up, rank = _fit_halves(path, header, part, layer, half, shapes[part][layer])
        alpha = alphas[half.alpha] if half.alpha else None
        strength = _strength_of(alpha, settings.get(part), part, layer, rank)
        changes.append(Change(part, layer, down, up, rank, strength))
    silent = not settings and not alphas
    return Lora(path, tuple(shapes), tuple(changes), silent and any(".lora_A." in name for name in header.shapes))


def check_values(lora: Lora) -> list[str]:
    """Lines about what of the LoRA has no effect; `BadInput` if it holds what is no number."""
    import torch

    idle = 0
    for change, down, up in lora.tensors():
        for name, values in ((change.down, down), (change.up, up)):
            if not torch.isfinite(values.float()).all():
                raise BadInput(
                    f"{lora.path}: {name} holds values that are not numbers; the training failed, make it anew"
                )
        idle += not (change.strength and down.any() and up.any())
    lines = []
    if idle:
        lines.append(f"the LoRA changes nothing in {idle} of its {len(lora.changes)} layers: weights or alpha are 0")
    if lora.assumed:
        lines.append(f"the LoRA comes without {ADAPTER_CONFIG}; its alpha is taken to be its rank (strength 1)")
    return lines


def _group_by_layer(path: Path, header: Tensors, shapes: dict[str, dict[str, Shape]]) -> dict[tuple[str, str], _Halves]:
    known = trainer_names(shapes)
    halves: dict[tuple[str, str], _Halves] = {}
    asked, missing = set(), []
    for name in header.shapes:
        found = LORA_KEY.fullmatch(name)
        if found is None:
            raise BadInput(f"{path}: holds {name[:120]!r} beside a LoRA, which is not read; train a plain LoRA")
        part, layer = layer_of(found["layer"])
        if part is not None and part not in shapes:
            raise BadInput(f"{path}: made for another base model ({_has(part)}); give the base it is for")
        asked.add((part, layer))
        places = known.get(layer, {})
        if part is None and len(places) > 1:
            raise BadInput(f"{path}: does not say which of {' and '.join(places)} {layer[:80]} is of; {_SAY_WHICH}")
        place = next(((of, name) for of, name in places.items() if part in (None, of)), None)
        if place is None:
            missing.append(found["layer"])
            continue
        role = "alpha" if found["alpha"] else {"A": "down", "B": "up"}.get(found["half"], found["way"])
        half = halves.setdefault(place, _Halves())
        if getattr(half, role):
            raise BadInput(f"{path}: changes {place[1]} twice, under {name[:120]!r} and another name; make it anew")
        setattr(half, role, name)
    if missing:
        absent = len(set(missing))
        raise BadInput(
            f"{path}: made for another base model ({absent} of its {len(asked)} layers, {missing[0][:120]} the first, "
            f"{'does' if absent == 1 else 'do'} not exist in this one); give the base it is for"
        )
    return halves


def _has(part: str) -> str:
    """What a base has that has this part, in words."""
    names = [family.name for family in FAMILIES.values() if part in family.trained]
    return f"it changes {part}, which {' or '.join(names)} has"


def _check_text_width(path: Path, header: Tensors, layers: dict[str, Shape]) -> None:
    """The plainest difference between the families, said before that of any layer."""
    ours = next((shape[1] for layer, shape in layers.items() if re.search(r"attn2\.to_[kv]$", layer)), None)
    down = (shape for name, shape in header.shapes.items() if re.search(r"attn2.*to_[kv].*(lora_A|down)", name))
    widths = {shape[1] for shape in down if len(shape) == 2}
    if ours and len(widths) == 1 and ours not in widths:
        here, there = (f"{width}{_WIDTHS.get(width, '')}" for width in (ours, *widths))
        raise BadInput(
            f"{path}: made for another base model (for a text encoder {there} wide, this one's is {here}); give the "
            "base it is for"
        )


def _fit_halves(
    path: Path, header: Tensors, part: str, layer: str, half: _Halves, shape: Shape
) -> tuple[str, str, int]:
    """Both halves of a change that has them and fits the layer's shape, and its rank."""
    if half.down is None or half.up is None:
        raise BadInput(f"{path}: only half of what it adds to {layer} is there; get the file again")
    down, up = header.shapes[half.down], header.shapes[half.up]
    for name in (half.down, half.up):
        if not header.dtypes[name].startswith(("F", "BF")):
            raise BadInput(f"{path}: {name} is {header.dtypes[name]}, not floating point; save it as fp16 or fp32")
    paired = len(down) in (2, 4) and len(up) in (2, 4) and up[2:] in ((), (1, 1)) and 0 not in (*down, *up)
    if paired and ((up[0], down[1]) != shape[:2] or _kernel(down) != _kernel(shape)):
        why = f"{layer} is {list(shape)} in this one, {[up[0], *down[1:]]} in its own"
        raise BadInput(f"{path}: made for another base model ({why}); give the base it is for")
    if not paired or down[0] != up[1]:
        raise BadInput(f"{path}: the halves for {layer} do not fit together, {list(down)} and {list(up)}; make it anew")
    return half.down, half.up, down[0]


def _kernel(shape: Shape) -> Shape:
    """Of a convolution; one of a single pixel is a linear layer, which some files write as such."""
    return () if shape[2:] == (1, 1) else shape[2:]


def _read_alphas(path: Path, header: Tensors, names: list[str]) -> dict[str, float]:
    from safetensors import safe_open

    if not names:
        return {}
    found = {}
    with safe_open(path, "pt") as file:  # numpy knows no bfloat16
        for name in names:
            alpha = float(file.get_tensor(name).flatten()[0]) if math.prod(header.shapes[name]) == 1 else math.nan
            if not math.isfinite(alpha):
                raise BadInput(f"{path}: {name[:120]} is not one number; the file is damaged, get it again")
            found[name] = alpha
    return found


def _strength_of(alpha: float | None, settings: _Settings | None, part: str, layer: str, rank: int) -> float:
    if alpha is not None:
        return alpha / rank
    if settings is None:
        return 1.0
    name = f"text_model.{layer}" if part.startswith(TEXT) else layer
    own = next((a for ending, a in settings.patterns.items() if re.match(rf"(.*\.)?({ending})$", name)), settings.alpha)
    return own / (math.sqrt(rank) if settings.root else rank)


def _read_settings(path: Path, header: Tensors, parts: tuple[str, ...]) -> dict[str, _Settings]:
    """peft's settings of each part: from adapter_config.json beside its file, or as diffusers keeps them inside."""
    beside = path.with_name(ADAPTER_CONFIG)
    if path.name == ADAPTER_FILE and beside.is_file():
        settings = _parse_settings(beside, beside.read_bytes())
        kind = str(settings.get("peft_type", "LORA")).rpartition(".")[2]
        if kind != "LORA":
            raise BadInput(f"{path}: peft's {kind[:40]}, which is not read; train a LoRA")
        return dict.fromkeys(parts, _check_settings(beside, settings))
    if METADATA not in header.metadata:
        return {}
    settings = _parse_settings(path, header.metadata[METADATA].encode())
    told = [part for part in parts if f"{part}.lora_alpha" in settings]
    return {part: _check_settings(path, _strip_prefix(f"{part}.", settings)) for part in told}


def _strip_prefix(prefix: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}


def _parse_settings(path: Path, text: bytes) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise BadInput(f"{path}: the LoRA's settings are damaged; get it again")
    return settings


def _check_settings(path: Path, settings: Mapping[str, Any]) -> _Settings:
    if settings.get("use_dora"):
        raise BadInput(f"{path}: a DoRA, which is not read; train a plain LoRA")
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise BadInput(
            f"{path}: begun by {start[:40]!r}, which changes the base model too, so it fits no published base; convert "
            "it with peft (path_initial_model_for_weight_conversion), or train a plain LoRA"
        )
    alpha, patterns = settings.get("lora_alpha", math.nan), settings.get("alpha_pattern") or {}
    try:
        alphas = {re.compile(ending): float(own) for ending, own in {**patterns, "": alpha}.items()}
        if not all(map(math.isfinite, alphas.values())):
            raise ValueError
    except (re.error, ValueError, TypeError, OverflowError, RecursionError):
        raise BadInput(f"{path}: the LoRA's settings name no alpha that is a number; get it again") from None
    return _Settings(float(alpha), bool(settings.get("use_rslora")), {str(k): float(v) for k, v in patterns.items()})
