"""From a name to verified files on this machine."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.artifact import read_record
from cxr.artifact.metrics import FewSteps, ModelMetrics
from cxr.data.lineage import PHANTOM, SET_SOURCES, UNKNOWN_SOURCE, Lineage, merge_sources, read_lineage
from cxr.errors import BadInput
from cxr.prompts.trained_prompts import TrainedPrompts, trained_prompts
from cxr.store import digest_of, open_store
from cxr.store.file_cache import cache_folder, file_digests
from cxr.weights.bucket import from_bucket
from cxr.weights.files import (
    CLASSIFIER,
    DIGEST,
    EXTRACTOR,
    LORA,
    MODEL,
    RAD_DINO,
    FileSpec,
    is_half,
    rename_halves,
    verify_files,
)
from cxr.weights.hub import from_hub
from cxr.weights.kept import keep_folder
from cxr.weights.names import ALIASES, RAD_DINO_ALIAS, kind_of, local, network_and_place
from cxr.weights.published import INCEPTION, Published, fetch_published, imagenet_file
from cxr.weights.single_file import convert_single_file, read_single_file

if TYPE_CHECKING:
    from torch import Tensor

ASSETS = Path(__file__).parents[1] / "embedded" / "assets"
TINY = ASSETS / "tiny"
TINY_EXTRACTOR = ASSETS / "extractor"
TINY_FAST, ITS_STEPS = ASSETS / "tiny_fast", FewSteps(steps=4, solver="ddim", guidance=3.0)  # a LoRA on TINY
XRV_ONCE = (
    "xrv: torchxrayvision publishes its weights as a pickled module, which can run code when loaded, so they are not "
    "read here; where torchxrayvision is installed, convert them once, and give xrv=xrv.safetensors: "
    'python -c "import torchxrayvision as xrv, safetensors.torch as s; '
    "s.save_file(xrv.models.DenseNet(weights='densenet121-res224-all').state_dict(), 'xrv.safetensors')\""
)


@dataclass(frozen=True)
class Weights:
    """Weights on this machine.

    `path` is a folder in diffusers' or transformers' layout, or the file of a LoRA, an extractor or a classifier;
    `digest` is `digest_of` the (file name below the folder, sha256) pairs of the files that are loaded, or of a whole
    model in a single file what `convert_single_file` says; `source` says
    in words where they came from, without keys. `lineage` is of the patients whom it was fine-tuned on: nobody
    for what is published, None where no record tells. `sources` are those of the pictures it learned from
    (`lineage.merge_sources`); what is published is its own. `trained` is what it was trained to be asked in; None where
    no record tells, as of what is published.
    """

    spec: str
    path: Path
    digest: str
    licence: str
    source: str
    lineage: Lineage
    sources: tuple[str, ...]
    trained: TrainedPrompts | None = None
    data: str = ""  # digest of the set that it was fine-tuned on; empty where no record tells
    few_steps: FewSteps | None = None  # of a distilled model
    file: str = ""  # SHA-256 of the single file that it was converted from

    def as_input(self, role: str) -> dict[str, str]:
        """For a record: what was read, by digest."""
        return {role: self.digest} | ({f"{role}_file": self.file} if self.file else {})

    @property
    def place(self) -> str:
        """Where it lies, with what else its maker left there."""
        return (
            self.source
            if self.source.startswith("s3://")
            else str(self.path if self.path.is_dir() else self.path.parent)
        )


def resolve(spec: str) -> Weights:
    """The base model, fetched if it is not here yet, verified.

    Load it with `use_safetensors=True, safety_checker=None, feature_extractor=None` and without `variant`.

    Raises:
        BadInput: unknown, incomplete, damaged, not safetensors, or nowhere to be had; the line names what was tried.
        StoreError: the disk is full, or the bucket failed in between.
    """
    kind = kind_of(spec, MODEL)
    if kind == "alias":
        return _resolve_alias(spec)
    if kind == "file" and (file := read_single_file(spec)):
        folder, digest, sha = convert_single_file(file)
        source = f"{file.path.name}, a single file of SHA-256 {sha}"
        return Weights(spec, folder, digest, "unstated", source, read_lineage({}), (UNKNOWN_SOURCE,), file=sha)
    return _resolve(spec, kind, MODEL)


def resolve_lora(spec: str) -> Weights:
    """The LoRA: the embedded one, diffusers' or peft's file of a folder, its only one, or one given by its path. Raises
    as `resolve`.

    Whether it is one, and one for this base, `read_lora` says.
    """
    if (kind := kind_of(spec, LORA)) == "embedded":
        return replace(_weights(spec, TINY_FAST, LORA, "Apache-2.0", "embedded"), few_steps=ITS_STEPS)
    return _resolve(spec, kind, LORA)


def resolve_extractor(spec: str) -> Weights:
    """The weights of an extractor.

    Args:
        spec: `tiny`, `inception` or `rad-dino` for those that are embedded or published; `inception=PLACE` or
            `xrv=PLACE` with a place as a LoRA's, of which the file is `model.safetensors`; `rad-dino=PLACE` with a
            folder, `owner/name@commit` or `s3://bucket/prefix` that holds config.json too.

    Raises as `resolve`.
    """
    network, place = network_and_place(spec)
    if place is not None:
        wanted = RAD_DINO if network == "rad-dino" else EXTRACTOR
        return _resolve(place, kind_of(place, wanted), wanted)
    if network == "xrv":
        raise BadInput(XRV_ONCE)
    if network == "inception":
        return _published(INCEPTION)
    if network == "tiny":
        return _weights(spec, TINY_EXTRACTOR, EXTRACTOR, "Apache-2.0", "embedded")
    if network != "rad-dino":
        raise BadInput(f"{network}: nowhere published; give {network}=PLACE, where its weights are")
    folder, source = from_hub(spec, RAD_DINO_ALIAS.mirrors, RAD_DINO, RAD_DINO_ALIAS.sha256)
    return _weights(spec, folder, RAD_DINO, RAD_DINO_ALIAS.licence, source)


def resolve_imagenet(network: str, spec: str | None = None) -> Weights:
    """ImageNet weights of a network by its name in torchvision: the published ones, or those that `spec` names as an
    extractor's. Raises as `resolve`.
    """
    if spec is None:
        return _published(imagenet_file(network))
    return _resolve(spec, kind_of(spec, CLASSIFIER), CLASSIFIER)


def read_state(found: Weights) -> dict[str, "Tensor"]:
    """The tensors of an extractor or a classifier by name, without running code that the file may hold.

    Raises:
        BadInput: the file holds anything but tensors.
    """
    import torch
    from safetensors.torch import load_file

    if found.path.suffix == ".safetensors":
        return load_file(found.path)
    try:
        return torch.load(found.path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise BadInput(f"{found.path}: not a file of weights alone; remove it and run again") from None


def _published(published: Published) -> Weights:
    path = fetch_published(published)
    digest = digest_of(file_digests(path.parent, [path.name]).items())
    return Weights(published.name, path, digest, published.licence, published.url, (), (published.url,))


def _resolve_alias(spec: str) -> Weights:
    alias = ALIASES[spec]
    if spec != "tiny":
        folder, source = from_hub(spec, alias.mirrors, MODEL, alias.sha256, alias.access)
    elif (TINY / DIGEST).is_file():
        folder, source = TINY, "embedded"
    else:
        raise BadInput("tiny: the embedded model is missing or incomplete; install the cxr package again")
    return _weights(spec, folder, MODEL, alias.licence, source)


def _resolve(spec: str, kind: str, wanted: FileSpec) -> Weights:
    if kind == "s3":
        folder, source = from_bucket(spec, wanted)
    elif kind == "hub":
        folder, source = from_hub(spec, (spec,), wanted, {})
    else:
        folder, wanted = local(spec, wanted)
        source = "folder"
    return _weights(spec, folder, wanted, "unstated", source)


def _weights(spec: str, folder: Path, wanted: FileSpec, licence: str, source: str) -> Weights:
    hashes = verify_files(folder, wanted)
    digest, loaded = digest_of(hashes.items()), folder
    if any(map(is_half, hashes)):
        loaded = cache_folder() / "half" / digest[:32]
        keep_folder(loaded, MODEL, str(folder), lambda empty: rename_halves(folder, hashes, empty))
    path = loaded if wanted.is_folder else folder / next(name for name in hashes if name.endswith(".safetensors"))
    if spec in ALIASES or source == "embedded":
        return Weights(spec, path, digest, licence, source, (), (PHANTOM if source == "embedded" else source,))
    record = read_record(open_store(str(folder)))
    metrics = record.metrics if record else {}
    trained = trained_prompts(metrics, spec) if record else None
    sources = tuple(merge_sources(metrics.get(SET_SOURCES, [UNKNOWN_SOURCE])))
    data = record.inputs.get("data", "") if record else ""
    few_steps = ModelMetrics.read(record).few_steps if record else None
    return Weights(spec, path, digest, licence, source, read_lineage(metrics), sources, trained, data, few_steps)
