"""Which files of a model count, their digests (remembered between starts), and what they are checked against."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

from cxr.artifact import read_record
from cxr.artifact.keys import RECORD_KEY
from cxr.errors import BadInput
from cxr.store import digest_of, open_store
from cxr.store.file_cache import file_digests
from cxr.weights.families import FAMILIES
from cxr.weights.kinds import (
    ADAPTER_CONFIG,
    ADAPTER_FILE,
    INDEX,
    LORA_FILE,
    PICKLES,
    check_index,
    explain_model_folder,
    read_header,
)

DIGEST = "DIGEST"  # beside a model: the digest that `write_digest` found; the embedded model ships with it
_TRAINED = sorted({part for family in FAMILIES.values() for part in family.trained})
UNUSED = ("safety_checker", "feature_extractor")
_WEIGHTS = ("model", "diffusion_pytorch_model")  # as transformers and diffusers name them, whole or in shards
_KINDS = (
    "*.json", "*.txt", "spiece.model", "tokenizer.model", *(f"{name}.safetensors" for name in _WEIGHTS),
    *(f"{name}-?????-of-?????.safetensors" for name in _WEIGHTS),
)  # fmt: skip

_HALF = ".fp16"  # before the ending of weights that are there in half precision too, or alone
HALVES = tuple(f"*/{name}{_HALF}{rest}.safetensors" for name in _WEIGHTS for rest in ("", "-?????-of-?????"))


@dataclass(frozen=True)
class FileSpec:
    """What is looked for: a word for messages and the only files ever fetched or accepted, as glob patterns."""

    noun: str
    patterns: tuple[str, ...]
    instead: str = "a folder or s3://bucket/prefix that holds it"  # what to give where the network fails
    others: tuple[str, ...] = ()  # taken too where they are there

    @property
    def is_folder(self) -> bool:
        """Whether a folder is loaded, not a file."""
        return len(self.patterns) > 1


MODEL = FileSpec("model", (INDEX, *(f"*/{kind}" for kind in _KINDS)))
LORA = FileSpec("LoRA", (LORA_FILE,), others=(ADAPTER_FILE, ADAPTER_CONFIG))
EXTRACTOR = FileSpec("extractor", ("model.safetensors",))
RAD_DINO = FileSpec(
    "extractor", ("config.json", "model.safetensors"), "rad-dino=PLACE, a folder or s3://bucket/prefix that holds both"
)
CONVERT = (
    'if you trust it, convert it once: python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('IN', weights_only=True), 'OUT.safetensors')\""
)
CLASSIFIER = FileSpec("classifier", ("model.safetensors",))


def is_wanted(name: str, wanted: FileSpec) -> bool:
    """Whether the file (name below the folder, at most one folder deep) may be part of the model."""
    part, *deeper = name.split("/")
    return (
        len(deeper) < 2
        and part not in UNUSED
        and any(fnmatchcase(name, pattern) for pattern in (*wanted.patterns, *wanted.others))
    )


def leave_out_halves(names: Iterable[str]) -> list[str]:
    """The names without weights in half precision of parts that have others."""
    names = list(names)
    full = {name.partition("/")[0] for name in names if name.endswith(".safetensors") and not is_half(name)}
    return [name for name in names if not is_half(name) or name.partition("/")[0] not in full]


def is_half(name: str) -> bool:
    """Whether the file (as of `is_wanted`) holds a part's weights in half precision, under diffusers' name for it."""
    return any(fnmatchcase(name, pattern) for pattern in HALVES)


def rename_halves(folder: Path, names: Iterable[str], target: Path) -> None:
    """Puts links to a model's files into an empty folder, under the names of full precision."""
    for name in names:
        plain = target / name.replace(_HALF, "")
        plain.parent.mkdir(exist_ok=True)
        if name.endswith(f".index{_HALF}.json"):
            plain.write_text((folder / name).read_text().replace(f"{_HALF}-", "-"))
        else:
            plain.symlink_to((folder / name).resolve())


def wanted_files(folder: Path, wanted: FileSpec) -> list[str]:
    """The names of the files to load, sorted; `BadInput` if the folder does not hold all of what is wanted."""
    if wanted is LORA:
        wanted = one_lora(_lora_in(folder))
    if wanted is not MODEL:
        if missing := [name for name in wanted.patterns if not (folder / name).is_file()]:
            whole = "folder" if wanted.is_folder else "folder or the safetensors file"
            raise BadInput(f"{folder}: no {missing[0]}; give the {whole} of the {wanted.noun}")
        return sorted([*wanted.patterns, *(name for name in wanted.others if (folder / name).is_file())])
    parts = _components(folder)
    found = [f"{part}/{p.name}" for part in parts for p in (folder / part).glob("*") if p.is_file()]
    names = leave_out_halves(name for name in found if is_wanted(name, MODEL) or is_half(name))
    for part in parts:
        held = [name for name in names if name.startswith(f"{part}/")]
        has_weights = not part.startswith(("tokenizer", "scheduler"))
        if not held or (has_weights and not any(name.endswith(".safetensors") for name in held)):
            raise BadInput(_no_weights(folder, part))
        if has_weights:
            weight_files(folder / part)  # raises
    return sorted([INDEX, *names])


def weight_files(part: Path) -> list[Path]:
    """The safetensors files of a part of a model: one, or all shards that its index names; else `BadInput`."""
    for half, name in product(("", _HALF), _WEIGHTS):
        if (whole := part / f"{name}{half}.safetensors").is_file():
            return [whole]
        if (index := part / f"{name}.safetensors.index{half}.json").is_file():
            return _shards_of(index)
    raise BadInput(f"{part}: shards without their index (model.safetensors.index.json); fetch the model again")


def _shards_of(index: Path) -> list[Path]:
    """The files that an index names; `BadInput` unless they are there and hold what it says, as loaders rely on it."""
    try:
        told = json.loads(index.read_bytes())
        placed = {str(name): str(file) for name, file in told["weight_map"].items()}
        if not isinstance(told["metadata"], dict) or not placed:
            raise ValueError
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{index}: damaged; fetch the model again") from None
    names = sorted({*placed.values()})
    if missing := [name for name in names if "/" in name or not (index.parent / name).is_file()]:
        raise BadInput(f"{index.parent}: {missing[0][:120]} of {len(names)} shards is missing; fetch the model again")
    held = {name: file for file in names for name in read_header(index.parent / file).shapes}
    if wrong := {*placed.items()} ^ {*held.items()}:
        raise BadInput(f"{index}: is not of these shards ({min(wrong)[0][:120]}); fetch the model again")
    return [index.parent / name for name in names]


def one_lora(name: str) -> FileSpec:
    """A LoRA in a file of that name; peft keeps its alpha beside it."""
    return FileSpec(LORA.noun, (name,), others=(ADAPTER_CONFIG,) if name == ADAPTER_FILE else ())


def _lora_in(folder: Path) -> str:
    """The LoRA's file in a folder: diffusers' or peft's name for it, or the only safetensors file."""
    names = sorted(path.name for path in folder.glob("*") if path.is_file())
    found = [name for name in names if name.endswith(".safetensors")]
    for name in (LORA_FILE, ADAPTER_FILE, *found):
        if (name in (LORA_FILE, ADAPTER_FILE) and name in names) or (len(found) == 1 and name == found[0]):
            return name
    if found:
        raise BadInput(f"{folder}: {len(found)} safetensors files, {', '.join(found[:3])}...; give one by its path")
    parts = [part for part in _TRAINED if (folder / part / ADAPTER_FILE).is_file()]
    hint = "give the folder or the safetensors file of the LoRA"
    if INDEX in names:
        hint = "a whole model; give it with --model"
    elif len(parts) > 1:
        held = " and ".join(f"{part}/" for part in parts)
        hint = f"{held} hold one each of peft's; save them as one with diffusers' save_lora_weights"
    elif parts:
        hint = f"give {folder / parts[0]}"
    elif pickles := [name for name in names if name.endswith(PICKLES)]:
        hint = f"only a pickle ({pickles[0]}), which can run code when loaded; {CONVERT}"
    raise BadInput(f"{folder}: no {LORA_FILE}; {hint}")


def verify_files(folder: Path, wanted: FileSpec) -> dict[str, str]:
    """The sha256 of each file to load; `BadInput` if one is not whole, or not what DIGEST or record.json names."""
    names = wanted_files(folder, wanted)
    for name in names:
        if name.endswith(".safetensors"):
            read_header(folder / name)  # raises
    hashes = file_digests(folder, names)
    sealed = folder / DIGEST if wanted in (MODEL, EXTRACTOR, LORA) else None
    if sealed and sealed.is_file() and sealed.read_text().strip() != digest_of(hashes.items()):
        raise BadInput(f"{folder}: damaged, its files are not those of {DIGEST}; fetch or install it again")
    record = read_record(open_store(str(folder)))
    promised = {stored.key: stored.sha256 for stored in record.objects} if record else hashes
    wrong = [name for name, found in hashes.items() if promised.get(name) != found]
    if wrong:
        raise BadInput(
            f"{folder}: {wrong[0]} is not the file that {RECORD_KEY} names; fetch it again or choose another"
        )
    return hashes


def place_exists(spec: str) -> bool:
    """Whether a name is that of a file or a folder here."""
    try:
        return bool(spec.strip()) and Path(spec).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long a name, a NUL, ~nobody
        return False


def write_digest(folder: Path, wanted: FileSpec = MODEL) -> str:
    """Write the folder's digest beside its files as DIGEST, so that damage is found from then on; returns it."""
    digest = digest_of(file_digests(folder, wanted_files(folder, wanted)).items())
    (folder / DIGEST).write_text(digest + "\n")
    return digest


def strip_local_paths(folder: Path) -> None:
    """Takes out the path of this machine, which diffusers writes into the configurations: the digest covers them."""
    for path in (folder / "model_index.json", *folder.glob("*/config.json")):
        settings = json.loads(path.read_text())
        settings.pop("_name_or_path", None)
        path.write_text(json.dumps(settings, indent=2) + "\n")


def _components(folder: Path) -> list[str]:
    """The parts that the pipeline loads, each a folder."""
    if not (folder / INDEX).is_file():
        raise BadInput(explain_model_folder(folder))
    return pipeline_parts((folder / INDEX).read_bytes(), folder)


def pipeline_parts(index: bytes, where: object) -> list[str]:
    """The parts that a model_index.json names; `BadInput` unless it is of a pipeline that is known."""
    try:
        parsed = json.loads(index)
    except (ValueError, RecursionError):
        parsed = None
    check_index(parsed, where)
    return [part for part, entry in parsed.items() if part not in UNUSED and isinstance(entry, list) and all(entry)]


def _no_weights(folder: Path, part: str) -> str:
    present = sorted(p.name for p in (folder / part).glob("*"))
    pickles = [name for name in present if name.endswith((".bin", ".ckpt", ".pt", ".pth"))]
    variants = [name for name in present if name.endswith(".safetensors")]
    again = f"load it and save it again with save_pretrained({str(folder)!r})"
    if pickles:
        return f"{folder}: {part}/ holds only pickles ({pickles[0]}), which can run code when loaded; {again}"
    if variants:
        return f"{folder}: {part}/ holds only a variant ({variants[0]}); {again} without variant"
    return f"{folder}: {part}/ is missing or incomplete, {INDEX} names it; fetch the model again"
