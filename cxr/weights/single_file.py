"""A whole Stable Diffusion 1, 2 or XL in one safetensors file, as model sites give it: converted once, without network.

diffusers' own loader makes a folder of it. What such a file does not hold, `single_layouts.py` has; which of these it
is, its tensors tell, or `KIND=FILE`. `FOLDER=FILE` takes it from a model of another shape.
"""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr.errors import BadInput, disk_full
from cxr.progress import note
from cxr.store import digest_of, sha256
from cxr.store.file_cache import cache_folder, file_digests
from cxr.weights.families import KNOWN_MODELS
from cxr.weights.files import INDEX, MODEL, is_wanted, place_exists, strip_local_paths, wanted_files
from cxr.weights.kept import keep_folder
from cxr.weights.kinds import Tensors, explain_model_file, read_header
from cxr.weights.single_layouts import LAYOUTS, pipeline_of, write_layout

_UNET = "model.diffusion_model."
_FIRST, _LAST = f"{_UNET}input_blocks.0.0.weight", f"{_UNET}out.2.weight"  # [outputs, inputs, 3, 3]
_AUTOENCODER = "first_stage_model.decoder.conv_in.weight"
_CLIP = "transformer.text_model.embeddings.position_embedding.weight"
_TEXTS = {  # of each kind, the tensors by which diffusers' loader finds the text encoders
    "Stable Diffusion 1": {f"cond_stage_model.{_CLIP}"},
    "Stable Diffusion 2": {"cond_stage_model.model.token_embedding.weight"},
    "Stable Diffusion XL": {f"conditioner.embedders.0.{_CLIP}", "conditioner.embedders.1.model.positional_embedding"},
}
_KINDS = {"Stable Diffusion 1": ("sd15",), "Stable Diffusion 2": ("sd21", "sd21_768"), "Stable Diffusion XL": ("sdxl",)}
_PREDICTION = "modelspec.prediction_type"  # in a header, where a trainer writes it
_ASK = "give FOLDER=FILE, where FOLDER is a model of its shape in diffusers' layout"


@dataclass(frozen=True)
class SingleFile:
    """What `--model` names."""

    path: Path  # absolute
    like: str  # one of `LAYOUTS`, or an absolute folder; empty where the tensors tell

    @property
    def spec(self) -> str:
        return f"{self.like}={self.path}" if self.like else str(self.path)


def read_single_file(spec: str) -> SingleFile | None:
    """The file that a name means, or nothing if it means none. From its header alone.

    Raises:
        BadInput: the file is something else, or of no kind that is converted; the line says what helps.
    """
    like, _, named = ("", "", spec) if place_exists(spec) else spec.partition("=")
    path = Path(named).expanduser().absolute() if place_exists(named) else Path(named)
    if path.suffix != ".safetensors" or path.is_dir():
        return None
    if not path.is_file():
        if like:
            raise BadInput(f"{named[:200]!r}: no such file; {_ASK}")
        return None
    header = read_header(path)
    family = _family_of(path, header)
    kinds = _kinds_of(family, header)
    if not like:
        return SingleFile(path, "") if len(kinds) == 1 else _refuse(path, family, kinds)
    if like in LAYOUTS:
        if like not in kinds:
            raise BadInput(f"{path}: no {like}, but of {family}{'' if kinds else ' with velocity'}; {_ASK}")
        return SingleFile(path, like if len(kinds) > 1 else "")
    if not place_exists(like):
        raise BadInput(f"{like[:200]!r}: neither a folder nor one of {', '.join(LAYOUTS)}; {_ASK}")
    folder = Path(like).expanduser().absolute()
    wanted_files(folder, MODEL)  # raises
    if _pipeline_in(folder) != pipeline_of(_KINDS[family][0]):
        raise BadInput(f"{folder}: a {_pipeline_in(folder)}, and {path.name} is of {family}; {_ASK}")
    return SingleFile(path, str(folder))


def convert_single_file(file: SingleFile) -> tuple[Path, str, str]:
    """The folder in our cache, the model's digest, and the file's SHA-256, which is the digest where its tensors tell
    the rest; else the digest is of both.

    Raises:
        BadInput: diffusers' loader makes no whole model of it.
        StoreError: the disk is full.
    """
    path, found = file.path, file_digests(file.path.parent, [file.path.name])[file.path.name]
    with tempfile.TemporaryDirectory() as place:
        layout = Path(file.like or place)
        if not file.like or file.like in LAYOUTS:
            header, layout = read_header(path), Path(place)
            write_layout(file.like or _kinds_of(_family_of(path, header), header)[0], layout)
        both = digest_of([("file", found), ("layout", _layout_digest(layout))])
        folder = cache_folder() / "single" / both[:32]
        keep_folder(folder, MODEL, str(path), lambda empty: _convert(path, layout, empty))
    return folder, both if file.like else found, found


def _family_of(path: Path, header: Tensors) -> str:
    """`BadInput` unless the file holds a whole model, with all that diffusers' loader looks for."""
    names, first, last = header.shapes.keys(), header.shapes.get(_FIRST, ()), header.shapes.get(_LAST, ())
    if len(first) != 4 or len(last) != 4:
        raise BadInput(explain_model_file(path))
    if (inputs := first[1]) != (outputs := last[0]):
        raise BadInput(
            f"{path}: its UNet takes {inputs} channels and gives {outputs}, as for inpainting; {KNOWN_MODELS}"
        )
    family = next((family for family, texts in _TEXTS.items() if texts <= names), None)
    missing = "text encoder" if family is None else "" if _AUTOENCODER in names else "autoencoder (VAE)"
    if family is None or missing:
        raise BadInput(f"{path}: a single file without its {missing}, as Stable Diffusion 1, 2 and XL have it; "
                       "get the whole model, or give a folder in diffusers' layout")  # fmt: skip
    return family


def _kinds_of(family: str, header: Tensors) -> tuple[str, ...]:
    """Those of `LAYOUTS` that the file may be."""
    told = "v" if "v_pred" in header.shapes else header.metadata.get(_PREDICTION, "")
    if family == "Stable Diffusion 2":
        return {"epsilon": ("sd21",), "v": ("sd21_768",)}.get(told, _KINDS[family])
    return () if told == "v" else _KINDS[family]


def _refuse(path: Path, family: str, kinds: tuple[str, ...]) -> SingleFile:
    if kinds:
        raise BadInput(
            f"{path}: of {family}, and does not say whether it was trained on noise or on velocity; "
            f"give sd21={path} (noise, as 2.1-base at 512 px) or sd21_768={path} (velocity, as 2.1 at 768 px)"
        )
    raise BadInput(f"{path}: of {family}, but trained on velocity; {_ASK}")


def _pipeline_in(folder: Path) -> str:
    return json.loads((folder / INDEX).read_bytes())["_class_name"]


def _layout_digest(folder: Path) -> str:
    """Of all that is no weight."""
    names = [path.relative_to(folder).as_posix() for path in folder.glob("**/*") if path.is_file()]
    told = [name for name in names if is_wanted(name, MODEL) and ".safetensors" not in name]
    return digest_of((name, sha256((folder / name).read_bytes())) for name in told)


def _convert(path: Path, layout: Path, folder: Path) -> None:
    import diffusers
    from diffusers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    note(f"{path}: converted once to a folder in diffusers' layout, which is kept in {folder.parent}")
    header, kind = read_header(path), getattr(diffusers, _pipeline_in(layout))
    try:
        pipe = kind.from_single_file(
            str(path), config=str(layout), local_files_only=True, dtype=_dtype(header), safety_checker=None,
            feature_extractor=None,
        )  # fmt: skip
        held = sum(math.prod(shape) for name, shape in header.shapes.items() if name.startswith(_UNET))
        if held != sum(weight.numel() for weight in pipe.unet.parameters()):
            raise ValueError("its UNet has more weights than a model of its kind")
        pipe.save_pretrained(folder, safe_serialization=True)
    except Exception as error:  # of diffusers, transformers, torch: any
        if full := disk_full(error, folder):
            raise full from None
        why = " ".join(str(error).split())[:160]
        raise BadInput(f"diffusers makes no model of it ({type(error).__name__}: {why}); {_ASK}") from None
    strip_local_paths(folder)


def _dtype(header: Tensors) -> Any:
    """What the model's weights are in, if all are in the same half precision; else float32."""
    import torch

    parts = (_UNET, "first_stage_model.", "cond_stage_model.", "conditioner.")
    weights = [name for name in header.dtypes if name.startswith(parts) and not name.endswith("position_ids")]
    found = {header.dtypes[name] for name in weights}
    return torch.float16 if found == {"F16"} else torch.bfloat16 if found == {"BF16"} else torch.float32
