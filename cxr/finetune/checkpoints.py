"""Checkpoints in the artifact's store: pieces under new names first, then the note that names them."""

import json
import tempfile
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file

from cxr.artifact.keys import CHECKPOINTS
from cxr.finetune.loop import Figures, Trainer, load_checkpoint, save_checkpoint
from cxr.store import Store, StoredObject, get_pieces, put_pieces


@dataclass(frozen=True)
class Note:
    """How far a run is. What it names is whole, because it is written last."""

    step: int = 0
    state: list[StoredObject] = field(default_factory=list)  # what the training goes on from
    best: list[StoredObject] = field(default_factory=list)  # the parameters at the best validation, to be saved
    history: list[Figures] = field(default_factory=list)  # of every step up to this one


def note_key(run: str) -> str:
    return f"{CHECKPOINTS}{run}.json"


def read_note(store: Store, run: str) -> Note:
    """The run's last note; an empty one where it has not come to a checkpoint."""
    try:
        told = json.loads(store.get(note_key(run)))
    except KeyError:
        return Note()
    pieces = {name: [StoredObject(**piece) for piece in told[name]] for name in ("state", "best")}
    return Note(told["step"], **pieces, history=told["history"])


def keep_checkpoint(store: Store, run: str, trainer: Trainer, history: list[Figures], best: bool) -> None:
    """Stores the trainer's state, and its parameters if they are the best so far; then drops what came before.

    Every name is new, so that a worker that is taken for dead and writes on cannot spoil what a note names.
    """
    before, prefix = read_note(store, run), f"{CHECKPOINTS}{run}/{trainer.done:08d}-{uuid.uuid4().hex[:8]}-"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        save_checkpoint(trainer, path)
        state, chosen = put_pieces(store, f"{prefix}state-", path), before.best
        if best:
            with trainer.averaged():
                save_file({name: p.detach().contiguous() for name, p in trainer.parameters.items()}, path)
            chosen = put_pieces(store, f"{prefix}best-", path)
    note = Note(trainer.done, state, chosen, history)
    store.put(note_key(run), json.dumps(asdict(note)).encode())
    named = {piece.key for piece in (*state, *chosen)}
    store.delete([piece.key for piece in (*before.state, *before.best) if piece.key not in named])


def go_on(store: Store, run: str, trainer: Trainer) -> list[Figures]:
    """Puts the trainer where the run's last checkpoint was, if it has one; returns the history up to there."""
    note = read_note(store, run)
    if note.state:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "state")
            get_pieces(store, note.state, path)
            load_checkpoint(trainer, path)
    return note.history


def load_best(store: Store, run: str, trainer: Trainer) -> None:
    """Puts the parameters of the best validation into the trainer's modules, for good: there is no average any more."""
    trainer.ema = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "best")
        get_pieces(store, read_note(store, run).best, path)
        for name, value in load_file(path).items():
            trainer.parameters[name].data.copy_(value)
