"""What a file or a folder is that was given for a model or a LoRA, by its names alone, and what would help."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr.artifact import read_record
from cxr.errors import BadInput
from cxr.store.location import open_store
from cxr.weights.families import FAMILIES, KNOWN_MODELS, SETTINGS

INDEX = "model_index.json"
LORA_FILE, ADAPTER_FILE, ADAPTER_CONFIG = (
    "pytorch_lora_weights.safetensors", "adapter_model.safetensors", "adapter_config.json",
)  # fmt: skip
KOHYA_FILE = "kohya_lora.safetensors"  # a LoRA once more, as kohya_ss and what follows it name layers
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
LORA_KEY = re.compile(  # a layer's name, then which half of its change, or its alpha
    r"(?P<layer>.+?)(?:"
    r"\.lora_(?P<half>[AB])(?:\.[^.]+)?\.weight|"
    r"[._]lora(?:_linear_layer)?[._](?P<way>down|up)\.weight|"
    r"(?P<alpha>(?:[._]lora)?\.alpha))"
)
_MERGE = "merge it into its base with the program that made it, and give that with --model; or train a plain LoRA"
_NO_OPTION = "no job takes it; --lora takes a LoRA"
_WHOLE = "give the folder of the whole model, with all its parts, with --model"
_ADDITIONS = (  # (in a tensor's name, what such a file is, what helps)
    (r"\.hada_", "a LoHa of LyCORIS, which is not read", _MERGE),
    (r"\.lokr_", "a LoKr of LyCORIS, which is not read", _MERGE),
    (r"oft_|\.vera_|lora_E$|ranknum", "an adapter of a kind that is not read (OFT, VeRA, AdaLoRA)", _MERGE),
    (r"ia3_|\.on_input$", "an IA3, which is not read", _MERGE),
    (r"dora_scale|lora_magnitude_vector", "a DoRA, which is not read", _MERGE),
    (r"\.lora_mid\.", "a LoCon in Tucker form (conv_cp), which is not read", _MERGE),
    (r"\.diff(_b)?$|\.(w|b)_norm$", "whole layers beside a LoRA (a full difference), which are not read", _MERGE),
    (r"\.(a[12]|b[12]|bm[12])\.weight$", "a GLoRA of LyCORIS, which is not read", _MERGE),
    (r"lora_embedding_|\.lora_B\.([^.]+\.)?bias$", "a LoRA that changes embeddings or biases too, not read", _MERGE),
    (r"emb_params|string_to_param|^bundle_emb|^clip_[lg]$", "a textual inversion (an embedding)", _NO_OPTION),
    (r"motion_modules", "motion weights of AnimateDiff", _NO_OPTION),
    (r"image_proj|ip_adapter", "an IP-Adapter", _NO_OPTION),
    (r"controlnet|control_model|zero_convs|input_hint_block", "a ControlNet", _NO_OPTION),
    (r"lora_te3_|text_encoder_3", "a LoRA of a T5 text encoder, which stays frozen here", KNOWN_MODELS),
    (
        r"single_transformer_blocks|double_blocks|single_blocks|joint_blocks|lora_transformer_",
        "made for a transformer model as Flux is, or under names that are not read",
        f"diffusers' and peft's names are read; {KNOWN_MODELS}",
    ),
)
_MODELS = (  # the same for what is whole: no tensor is half of a LoRA
    (r"^(model\.diffusion_model|cond_stage_model|first_stage_model)\.", "a whole model in a single file", _WHOLE),
    (r"^(encoder|decoder)\.(down|up|mid|conv_in)|^(post_)?quant_conv\.", "an autoencoder (VAE)", _WHOLE),
    (r"^(unet\.)?(down_blocks|up_blocks|mid_block|conv_in|time_embedding)\.", "a whole UNet", _WHOLE),
    (r"^(transformer_blocks|pos_embed|patch_embed)\.", "a whole transformer", _WHOLE),
    (r"^(text_model|embeddings|encoder\.layers)\.", "a text encoder", _WHOLE),
    (r"^(model\.)?(layers|embed_tokens)\.|^transformer\.h\.|^lm_head", "a language model", KNOWN_MODELS),
    (r"^\d+\.\d+\.|hypernet", "a hypernetwork", _NO_OPTION),
)


@dataclass(frozen=True)
class Tensors:
    """The header of a safetensors file."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]  # as the format has them: F32, BF16, I64...
    metadata: dict[str, str]


def read_header(path: Path) -> Tensors:
    """Names and shapes, without the weights; `BadInput` if it is no whole safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:  # compares the header with the file's size
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return Tensors(
                {name: tuple(tensor.get_shape()) for name, tensor in slices.items()},
                {name: tensor.get_dtype() for name, tensor in slices.items()},
                file.metadata() or {},
            )
    except (SafetensorError, OSError, ValueError):
        raise BadInput(
            f"{path}: not a whole safetensors file (half a copy? a git-lfs pointer?); get it again"
        ) from None


def is_lora(names: Iterable[str]) -> bool:
    """Whether one of the tensors is half of a LoRA's change."""
    return any((found := LORA_KEY.fullmatch(name)) and not found["alpha"] for name in names)


def refuse_not_lora(path: Path, names: Iterable[str]) -> None:
    """`BadInput` if the tensors' names are plainly those of something else, or of a LoRA that cannot be read."""
    names = list(names)
    if not names:
        raise BadInput(f"{path}: holds no tensor, so no LoRA; get it again")
    if found := _among(names, _ADDITIONS if is_lora(names) else (*_ADDITIONS, *_MODELS)):
        raise BadInput(f"{path}: {found[0]}; {found[1]}")
    if not is_lora(names):
        few = len(names) <= 4 and not any("." in name for name in names)
        what = "no LoRA, perhaps a textual inversion (an embedding)" if few else "no LoRA that is known"
        raise BadInput(f"{path}: {what}, it holds {names[0][:80]!r}; {_NO_OPTION}")


def _among(names: list[str], known: tuple[tuple[str, str, str], ...]) -> tuple[str, str] | None:
    for pattern, what, advice in known:
        if any(re.search(pattern, name) for name in names):
            return what, advice
    return None


def check_index(index: Any, where: object) -> None:
    """`BadInput` unless model_index.json is of a pipeline that is known, with all its parts."""
    name = index.get("_class_name") if isinstance(index, dict) else None
    if not isinstance(name, str):
        raise BadInput(f"{where}: {INDEX} is damaged; fetch the model again")
    if name not in FAMILIES:
        raise BadInput(f"{where}: a {name[:80]}, which is not supported; {KNOWN_MODELS}")
    for part, entry in index.items():
        scalar = part.startswith("_") or part in SETTINGS
        if not scalar and not (
            isinstance(entry, list) and len(entry) == 2 and {*map(type, entry)} in ({str}, {type(None)})
        ):
            raise BadInput(f"{where}: {INDEX} is damaged at {part[:80]!r}; fetch the model again")
    for part, classes in FAMILIES[name].parts.items():
        found = index.get(part, [None, None])[1]
        if found is None and part in FAMILIES[name].optional:
            continue
        if not isinstance(found, str):
            raise BadInput(f"{where}: a {name} without {part}; fetch the whole model")
        if classes and found not in classes:
            raise BadInput(f"{where}: its {part} is a {found[:80]}, {classes[0]} is supported; {KNOWN_MODELS}")
        if index[part][0] not in ("diffusers", "transformers"):
            raise BadInput(
                f"{where}: its {part} is code of its own ({index[part][0][:80]}), which is not run; {KNOWN_MODELS}"
            )


def explain_model_file(path: Path) -> str:
    """What to do with a file that was given for a model."""
    if path.suffix == ".safetensors":
        names = read_header(path).shapes
        if is_lora(names):
            return f"{path}: a LoRA; give it with --lora, and with --model the base it was trained on"
        whole = any(name.startswith("model.diffusion_model.") for name in names)
        if not whole and (found := _among(list(names), (*_MODELS[1:], *_ADDITIONS))):
            advice = _WHOLE if found[1] == _WHOLE else KNOWN_MODELS
            return f"{path}: {found[0]}, not a whole model; {advice}"
        return (
            f"{path}: a single file, but no whole Stable Diffusion 1, 2 or XL under their original names; "
            "give a model's folder in diffusers' layout"
        )
    if path.suffix in PICKLES:
        return (
            f"{path}: a pickle, which can run code when loaded; give the same model as .safetensors, or its folder in "
            "diffusers' layout"
        )
    if path.suffix in (".gguf", ".onnx", ".zip", ".tar", ".gz"):
        return f"{path}: {path.suffix} is not read; give the folder that holds {INDEX}, in diffusers' layout"
    return f"{path}: a file; give the folder that holds {INDEX}"


def explain_model_folder(folder: Path) -> str:
    """What is missing in a folder without model_index.json that was given for a model."""
    names = sorted(found.name for found in folder.iterdir()) if folder.is_dir() else []
    return f"{folder}: no {INDEX}; {_folder_hint(folder, names)}"


def _folder_hint(folder: Path, names: list[str]) -> str:
    if LORA_FILE in names or ADAPTER_FILE in names or ADAPTER_CONFIG in names:
        return f"a LoRA; give it with --lora, and with --model {_base_of(folder)}"
    if record := read_record(open_store(str(folder))):
        return f"{record.kind}, not a model; give a model folder in diffusers' layout"
    config = _json(folder / "config.json")
    if isinstance(config.get("_class_name"), str):
        parent = folder.parent if (folder.parent / INDEX).is_file() else "the folder of the whole model"
        return f"only a part, {config['_class_name'][:80]}; give {parent}"
    if config.get("architectures") or config.get("model_type"):
        named = config.get("architectures")
        name = named[0] if isinstance(named, list) and named else config.get("model_type")
        return f"a model of transformers ({str(name)[:80]}); {KNOWN_MODELS}"
    if inner := next((name for name in names if (folder / name / INDEX).is_file()), None):
        return f"give {folder / inner}"
    if file := next((name for name in names if name.endswith((".safetensors", ".gguf", ".onnx", *PICKLES))), None):
        if file.endswith(".safetensors"):
            return f"if {file} is a whole model, give {folder / file}; else a model folder in diffusers' layout"
        return f"a model folder in diffusers' layout is needed, here is {file}. " + explain_model_file(folder / file)
    return "give a model folder in diffusers' layout"


def _base_of(folder: Path) -> str:
    """The base of a LoRA, in words, where the folder tells."""
    base_name = _json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if isinstance(base_name, str) and base_name:
        return f"its base ({base_name[:200]})"
    record = read_record(open_store(str(folder)))
    base = str(record.inputs.get("model", "")) if record else ""
    tiny = Path(__file__).parents[1] / "embedded" / "assets" / "tiny" / "DIGEST"
    if base and tiny.is_file() and tiny.read_text().strip() == base:
        return "its base, tiny"
    return f"its base (digest {base[:16]}, its README.md names it)" if base else "the base it was trained on"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
