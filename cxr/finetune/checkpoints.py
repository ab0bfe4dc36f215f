"""Checkpoints in the artifact's store: pieces under new names first, then the manifest that names them."""

import json
import tempfile
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.artifact.keys import CHECKPOINTS
from cxr.finetune.config import Metrics
from cxr.store import Store, StoredObject, get_pieces, put_pieces

if TYPE_CHECKING:  # the driver, which only asks how far a run is, needs no torch
    from cxr.finetune.loop import Trainer


@dataclass(frozen=True)
class CheckpointManifest:
    """How far a run is. What it names is whole, because it is written last."""

    step: int = 0
    state: list[StoredObject] = field(default_factory=list)  # what the training goes on from
    best: list[StoredObject] = field(default_factory=list)  # the parameters at the best validation, to be saved
    history: list[Metrics] = field(default_factory=list)  # of every step up to this one


def manifest_key(run: str) -> str:
    return f"{CHECKPOINTS}{run}.json"


def read_manifest(store: Store, run: str) -> CheckpointManifest:
    """The run's last manifest; an empty one where it has not come to a checkpoint."""
    try:
        stored = json.loads(store.get(manifest_key(run)))
    except KeyError:
        return CheckpointManifest()
    pieces = {name: [StoredObject(**piece) for piece in stored[name]] for name in ("state", "best")}
    return CheckpointManifest(stored["step"], **pieces, history=stored["history"])


def store_checkpoint(store: Store, run: str, trainer: "Trainer", history: list[Metrics], best: bool) -> None:
    """Stores the trainer's state, and its parameters if they are the best so far; then drops what came before.

    Every name is new, so that a worker that is taken for dead and writes on cannot spoil what a manifest names.
    """
    from safetensors.torch import save_file

    from cxr.finetune.loop import save_checkpoint

    before, prefix = read_manifest(store, run), f"{CHECKPOINTS}{run}/{trainer.done:08d}-{uuid.uuid4().hex[:8]}-"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        save_checkpoint(trainer, path)
        state, chosen = put_pieces(store, f"{prefix}state-", path), before.best
        if best:
            with trainer.averaged():
                save_file({name: p.detach().contiguous() for name, p in trainer.parameters.items()}, path)
            chosen = put_pieces(store, f"{prefix}best-", path)
    manifest = CheckpointManifest(trainer.done, state, chosen, history)
    store.put(manifest_key(run), json.dumps(asdict(manifest)).encode())
    kept = {piece.key for piece in (*state, *chosen)}
    store.delete([piece.key for piece in (*before.state, *before.best) if piece.key not in kept])


def resume(store: Store, run: str, trainer: "Trainer") -> list[Metrics]:
    """Puts the trainer where the run's last checkpoint was, if it has one; returns the history up to there."""
    from cxr.finetune.loop import load_checkpoint

    manifest = read_manifest(store, run)
    if manifest.state:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "state")
            get_pieces(store, manifest.state, path)
            load_checkpoint(trainer, path)
    return manifest.history


def load_best(store: Store, run: str, trainer: "Trainer") -> None:
    """Puts the parameters of the best validation into the trainer's modules, for good: there is no average any more."""
    from safetensors.torch import load_file

    trainer.ema = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "best")
        get_pieces(store, read_manifest(store, run).best, path)
        for name, value in load_file(path).items():
            trainer.parameters[name].data.copy_(value)
