"""Checkpoints in a store: what a note names is whole, and what it named before is gone."""

from pathlib import Path

import pytest
import torch

from cxr.errors import BadInput, StoreError
from cxr.finetune.checkpoints import load_best, read_manifest, resume, store_checkpoint
from cxr.store import files, open_store


def parameters(trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.parameters.items()}


def test_a_run_goes_on_with_state_and_history(trainer, losses, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "PIECE", 10_000)  # so that a checkpoint is many objects
    store = open_store(str(tmp_path))
    first, second, undisturbed = (trainer(max_train_steps=4) for _ in range(3))
    expected = losses(undisturbed, 4)
    before = losses(first, 2)
    store_checkpoint(store, "final", first, [{"step": 1, "loss": before[0]}, {"step": 2, "loss": before[1]}], best=True)
    assert len(read_manifest(store, "final").state) > 1
    history = resume(store, "final", second)
    assert [row["loss"] for row in history] + losses(second, 2) == expected


def test_the_best_parameters_stay_when_later_ones_are_worse(trainer, losses, tmp_path: Path) -> None:
    store, ours = open_store(str(tmp_path)), trainer(ema=0.5)
    losses(ours, 1)
    store_checkpoint(store, "final", ours, [], best=True)
    with ours.averaged():
        chosen = parameters(ours)
    losses(ours, 2)
    store_checkpoint(store, "final", ours, [], best=False)
    load_best(store, "final", ours)
    assert all(torch.equal(value, chosen[name]) for name, value in parameters(ours).items())
    with ours.averaged():
        assert all(torch.equal(value, chosen[name]) for name, value in parameters(ours).items())


def test_only_what_the_note_names_is_left(trainer, losses, tmp_path: Path) -> None:
    store, ours = open_store(str(tmp_path)), trainer()
    for best in (True, False, True):
        losses(ours, 1)
        store_checkpoint(store, "final", ours, [], best)
    note = read_manifest(store, "final")
    named = {piece.key for piece in (*note.state, *note.best)}
    assert {found.key for found in store.list()} == {*named, "checkpoints/final.json"}


def test_a_run_without_checkpoint_begins_anew(trainer, tmp_path: Path) -> None:
    assert resume(open_store(str(tmp_path)), "fold1", trainer()) == []


@pytest.mark.parametrize(("damage", "told"), [(b"x", "is damaged"), (None, "is gone")])
def test_a_damaged_checkpoint_is_told(trainer, losses, tmp_path: Path, damage: bytes | None, told: str) -> None:
    store, ours = open_store(str(tmp_path)), trainer()
    losses(ours, 1)
    store_checkpoint(store, "final", ours, [], best=True)
    piece = tmp_path / read_manifest(store, "final").state[0].key
    piece.unlink() if damage is None else piece.write_bytes(damage)
    with pytest.raises(StoreError, match=told):
        resume(store, "final", trainer())


def test_a_checkpoint_of_another_recipe_is_refused(trainer, losses, tmp_path: Path) -> None:
    store, ours = open_store(str(tmp_path)), trainer(recipe={"rank": 4})
    losses(ours, 1)
    store_checkpoint(store, "final", ours, [], best=True)
    with pytest.raises(BadInput, match=r"step 1 is of another recipe \(rank 4 -> 8\)"):
        resume(store, "final", trainer(recipe={"rank": 8}))
