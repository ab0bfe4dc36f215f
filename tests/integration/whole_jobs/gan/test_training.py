"""The lab from plan to record: the same end whatever happens on the way, and honest words about a bad end."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load

from cxr.artifact import read_record, verify
from cxr.artifact.keys import PLAN_KEY
from cxr.data.catalog import read_images, read_set
from cxr.data.images import GENERATED_MEDIA
from cxr.data.lineage import read_lineage
from cxr.data.lineage_lists import NO_LISTS, Overlap, compare_patients
from cxr.errors import BadInput
from cxr.labs.gan import finish
from cxr.labs.gan import job as stage
from cxr.labs.gan.checkpoints import last_checkpoint
from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.job import prepare, read_lenet, train_gan, train_lenet
from cxr.labs.gan.real import from_set
from cxr.store import open_store
from tests.find_patients import find_patient_ids
from tests.unit.labs.gan.conftest import SMALL, draw_bars

pytestmark = pytest.mark.usefixtures("unrendered")


def similar(pixels: np.ndarray, seed: int) -> float:
    return float((pixels == pixels[0]).mean())


def through(job, tell=lambda figures: None):
    """From the classifier to the record, as the job's file does it."""
    lenet = read_lenet(job) or train_lenet(job, lambda figures: None)
    run = train_gan(job, lenet, tell)
    return job.make(lambda: finish.complete(job, run, lenet, similar, {"total": 1.0}, lambda: None))


def contents(job) -> dict[str, bytes]:
    return {key: job.store.get(key) for key, _ in job.store.list() if key != "record.json"}


@pytest.mark.parametrize("conditional", [False, True])
def test_a_finished_lab_is_a_set_of_the_house(job, conditional: bool) -> None:
    ours = job(conditional=conditional)
    record = through(ours)
    assert verify(ours.store).clean and record == read_record(ours.store)
    found = read_set(ours.store)
    assert read_images(ours.store, found.table, 28).shape == (12, 28, 28)
    lines = [json.loads(line) for line in ours.store.get("images/metadata.jsonl").splitlines()]
    for row, line in zip(found.table.to_pylist(), lines, strict=True):
        assert row["key"] == f"images/{row['finding']}/{row['image_id']}.png" == f"images/{line['file_name']}"
        assert line["asked" if conditional else "named"] == row["finding"] and 0 < line["confidence"] <= 1
    assert record.metrics["classes"] == {c: Counter(line["named"] for line in lines)[c] for c in ours.real.classes}
    asked = pq.read_table(io.BytesIO(ours.store.get(PLAN_KEY)))["asked"].to_pylist()
    assert asked == (["lying", "standing"] * 6 if conditional else [None] * 12)
    assert (record.metrics["asked_agreement"] is None) != conditional
    assert record.metrics["sources"] == ["bars"] and "can be a near-duplicate" in ours.store.get("README.md").decode()
    assert not list(ours.store.list("checkpoints/"))


def test_nobody_who_has_the_set_can_tell_whom_it_was_shown(stored_set, tmp_path: Path) -> None:
    parts = ["train"] * 48 + ["validation"] * 16 + ["test"] * 16
    columns = {"finding": ["lying", "standing"] * 40, "split": parts, "patient_id": [f"p{n // 2}" for n in range(80)]}
    found = stored_set("bars", draw_bars(80), **columns)
    ours = prepare(open_store(str(tmp_path / "out")), GanConfig(**SMALL), from_set(found, 0, lambda count: None))
    stage.begin(ours)
    record = through(ours)
    assert find_patient_ids(tmp_path / "out") == set()
    assert compare_patients(read_lineage(record.metrics), found.table, NO_LISTS) == Overlap(shown=32)
    other = stored_set("others", draw_bars(80), **columns | {"patient_id": [f"q{n // 2}" for n in range(80)]})
    assert (
        compare_patients(read_lineage(record.metrics), other.table, NO_LISTS).outside == 32
    )  # from what the owner keeps


def test_pictures_say_what_made_them(job) -> None:
    ours = job()
    through(ours)
    key = read_set(ours.store).table["key"][0].as_py()
    text = Image.open(io.BytesIO(ours.store.get(key))).text
    assert GENERATED_MEDIA in text["XML:com.adobe.xmp"] and json.loads(text["cxr"])["gan"] == ours.digest


def test_a_killed_run_goes_on_to_the_same_bytes(job) -> None:
    undisturbed, killed = job("undisturbed"), job("killed")
    through(undisturbed)

    def kill(figures) -> None:
        if figures["epoch"] == 3:  # after the checkpoint of epoch 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        through(killed, kill)
    assert [key for key, _ in killed.store.list("checkpoints/")] == ["checkpoints/00000002.pt"]
    told = []
    through(killed, lambda figures: told.append(figures["epoch"]))
    assert told == [3, 4] and contents(killed) == contents(undisturbed)


def test_a_damaged_checkpoint_is_told(job) -> None:
    ours = job()
    train_lenet(ours, lambda figures: None)
    ours.store.put("checkpoints/00000002.pt", b"PK\3\4 half of one")
    with pytest.raises(BadInput, match=r"checkpoints/00000002.pt is damaged; remove it to begin anew"):
        through(ours)


LAST = "the last checkpoint, checkpoints/00000004.pt, is kept: it had collapsed"


@pytest.mark.parametrize(
    ("good", "told"),
    [
        ([2, 4], "the last good checkpoint, checkpoints/00000004.pt, is kept"),
        ([2], f"{LAST}, and holds the generator of epoch 2, which had not"),
        ([], LAST),
    ],
)
def test_a_run_that_diverges_says_what_is_kept_and_how_good_it_is(job, monkeypatch, good: list[int], told: str) -> None:
    ours, step, saved = job(epochs=6), stage.Trainer.step, {}

    def collapsing(now, trainer, lenet) -> list[str]:
        saved[trainer.done] = {name: value.clone() for name, value in trainer.generator.state_dict().items()}
        return [] if trainer.done in good else ["collapsed"]

    def poisoned(trainer, rows, noise):
        return step(trainer, rows, noise) * (float("nan") if trainer.done == 4 else 1)

    monkeypatch.setattr(stage, "find_collapse", collapsing)
    monkeypatch.setattr(stage.Trainer, "step", poisoned)
    with pytest.raises(BadInput, match=r"epoch 5: ") as caught:
        through(ours)
    assert str(caught.value).endswith(f"; {told}") and read_record(ours.store) is None
    held = last_checkpoint(ours.store)["good"]
    assert (held and held["epoch"]) == (good[-1] if good else None)
    for name, value in saved[good[-1]].items() if good else ():
        assert torch.equal(held["generator"][name], value)


def test_a_collapsed_run_is_told_and_its_last_good_generator_kept(job, monkeypatch) -> None:
    ours, saved = job(), {}

    def at_last(now, trainer, lenet) -> list[str]:
        if trainer.done == 2:
            saved.update({name: value.clone() for name, value in trainer.generator.state_dict().items()})
            return []
        torch.nn.init.zeros_(trainer.generator.layers[-2].weight)  # every picture is the same from now on
        return ["collapsed"]

    monkeypatch.setattr(stage, "find_collapse", at_last)
    record = through(ours)
    assert record.metrics["collapsed"] and record.metrics["last_good_epoch"] == 2
    assert "pictures of a class are alike: mean MS-SSIM 1.00" in record.metrics["collapsed_because"][-1]
    kept = load(ours.store.get("generator_epoch2.safetensors"))
    assert all(torch.equal(kept[name], value) for name, value in saved.items())
    card = ours.store.get("README.md").decode()
    [missing] = [finding for finding, count in record.metrics["classes"].items() if not count]
    assert f"\n- Never made: {missing}\n- Real pictures" in card
    assert "**Collapsed:** " in card and "`generator_epoch2.safetensors` is the generator before" in card
    assert verify(ours.store).clean


def test_another_recipe_in_the_same_place_is_refused(job, real) -> None:
    ours = job()
    with pytest.raises(BadInput, match=r"holds another recipe's artifact \(noise_dim 4 -> 5\)"):
        prepare(ours.store, ours.config.model_copy(update={"noise_dim": 5}), real)


@pytest.mark.parametrize(("epochs", "frames"), [(4, 4), (60, 60), (61, 60), (1000, 60)])
def test_frames_are_spread_up_to_the_last_epoch(epochs: int, frames: int) -> None:
    framed = [epoch for epoch in range(1, epochs + 1) if stage.is_frame_epoch(epoch, epochs)]
    assert len(framed) == frames and framed[-1] == epochs


def test_the_recipe_is_whole() -> None:
    assert set(stage.identity(GanConfig(), "d")) == {*GanConfig.model_fields, "data"}
