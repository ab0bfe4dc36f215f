"""Checkpoints in the artifact's store: an object each, the newest stays."""

import io
import pickle
from typing import Any

import torch

from cxr.artifact import listed_units, unit_key
from cxr.artifact.keys import CHECKPOINTS
from cxr.errors import BadInput
from cxr.store import Store


def checkpoint_key(epoch: int) -> str:
    return unit_key(CHECKPOINTS, epoch, ".pt")


def keep_checkpoint(store: Store, epoch: int, state: dict[str, Any]) -> None:
    """Stores the state, then drops those before it."""
    before = [found.key for found in store.list(CHECKPOINTS)]
    data = io.BytesIO()
    torch.save(state, data)
    store.put(checkpoint_key(epoch), data.getvalue())
    store.delete(key for key in before if key != checkpoint_key(epoch))


def last_checkpoint(store: Store) -> dict[str, Any] | None:
    """The newest state, or None where there is none.

    Raises:
        BadInput: it is damaged.
    """
    epoch = last_epoch(store)
    if not epoch:
        return None
    try:
        return torch.load(io.BytesIO(store.get(checkpoint_key(epoch))), weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        raise BadInput(f"{store.uri}: {checkpoint_key(epoch)} is damaged; remove it to begin anew") from None


def last_epoch(store: Store) -> int:
    """Of the newest checkpoint; 0 where there is none."""
    return max(listed_units(store, CHECKPOINTS), default=0)
