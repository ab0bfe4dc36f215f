"""A miniature model in training: random weights, 64 px, twelve pictures of bars; and a split set for its job."""

import copy
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.data.catalog import CATALOG, read_set
from cxr.data.images import encode_png
from cxr.data.labels import LISTS
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.finetune import job
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer
from cxr.store import Store, open_store

SMALL = {"size": 64, "batch": 2, "max_train_steps": 4, "rank": 4, "alpha": 2, "learning_rate": 1e-2}
QUICK = {"size": 64, "batch": 4, "max_train_steps": 4}


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def draw_bars(count: int, first: int = 0) -> CaptionedImages:
    """Picture i has i + 1 bright bars, and its caption says so."""
    waves = [127 + 100 * np.sin(np.linspace(0, np.pi * (i + 1), 64)) for i in range(first, first + count)]
    pixels = np.stack([np.tile(wave, (64, 1)) for wave in waves]).astype(np.uint8)
    return CaptionedImages(pixels, [f"chest x-ray with {i + 1} bars" for i in range(first, first + count)])


@pytest.fixture(name="bars", scope="session")
def bars_() -> Callable[..., CaptionedImages]:
    return draw_bars


@pytest.fixture(scope="session")
def miniature(random_model: Path) -> StableDiffusion:
    """Loaded once: copying it takes half as long. For copying only."""
    return StableDiffusion.load(random_model, torch.float32)


@pytest.fixture
def trainer(miniature: StableDiffusion) -> Callable[..., Trainer]:
    """`trainer(**fields)`: the miniature under a small recipe with these fields changed."""

    def make(pictures: CaptionedImages | None = None, classes: CaptionedImages | None = None, **fields) -> Trainer:
        others = {name: fields.pop(name) for name in ("recipe", "ranks") if name in fields}
        config = FinetuneConfig(**(SMALL | fields))
        model = StableDiffusion(copy.deepcopy(miniature.pipe))
        return Trainer(model, config, pictures or draw_bars(12), classes, **others)

    return make


@pytest.fixture
def losses() -> Callable[[Trainer, int], list[float]]:
    return lambda trainer, steps: [trainer.step()["loss"] for _ in range(steps)]


def make_set(folder: Path, **columns: object) -> Store:
    """40 pictures of 20 patients and two findings: 28 to train in 4 folds, 4 to validate, 8 to test."""
    store, rows = open_store(str(folder)), []
    for number in range(40):
        split = "train" if number < 28 else "validation" if number < 32 else "test"
        png = encode_png(np.random.default_rng(number).integers(0, 255, (64, 64), dtype=np.uint8))
        stored = store.put(f"images/{number}.png", png)
        told = {"image_id": str(number), "key": stored.key, "sha256": stored.sha256, "text": f"picture {number}"}
        told |= {"finding": ("normal", "pneumonia")[number % 2], "patient_id": f"p{number // 2}", "split": split}
        rows.append(told | {"fold": number // 2 % 4 if split == "train" else None} | columns)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=CATALOG).drop_columns(LISTS), sink)
    objects = [store.put("catalog.parquet", sink.getvalue())]
    made, recipe = Made(count=40, bytes=1, digest="0"), {"of": "test"}
    commit_record(store, Record(kind="ingested images", recipe=recipe, recipe_digest=recipe_digest(recipe), made=made,
                                objects=objects))  # fmt: skip
    return store


@pytest.fixture
def prepared(random_model: Path, tmp_path: Path):
    """`prepared(columns, **fields)`: the job on a set with these columns changed, and a recipe with these fields, of
    these patients alone where there are `names`; `note` hears what the user should know."""

    def prepare(
        columns: dict | None = None, names: frozenset[str] | None = None, note=lambda line: None, **fields: object
    ) -> job.FinetuneJob:
        config = FinetuneConfig(model=str(random_model), **{**QUICK, **fields})
        data = make_set(tmp_path / "data", **(columns or {}))
        return job.prepare(open_store(str(tmp_path / "out")), read_set(data), config, note, names)

    return prepare
