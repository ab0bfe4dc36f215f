"""Finished artifacts of a whole study, stored by hand: real X-rays, a model, its pictures, what was found of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.artifact.keys import CATALOG_KEY, COPIES_KEY, PAGE_KEY, TAKEN_OUT_KEY
from cxr.artifact.kinds import (
    EVALUATION,
    FINE_TUNED_MODEL,
    GENERATED_IMAGES,
    IMAGES_WITHOUT_COPIES,
    INGESTED_IMAGES,
    NIGHT,
    STUDY,
)
from cxr.artifact.metrics import LabelMetrics, NightMetrics, StudyMetrics
from cxr.data.catalog import CATALOG, image_key, read_set
from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, encode_png
from cxr.data.labels import LISTS, Labels
from cxr.data.lineage import PHANTOM
from cxr.store import Store, StoredObject, digest_of, json_lines, open_store, parquet, sha256
from cxr.weights.kinds import LORA_FILE

PATIENT, HOME = "CANARY-PATIENT-4711", "/home/someone/canary-data"
CANARIES = (PATIENT, "canary-data", "someone")
FINDINGS = ("effusion", "normal_heart")
REAL, SYNTHETIC = 20, 30  # pictures


@dataclass(frozen=True)
class Stored:
    """Places by the names of what lies there, and the pixels of each set, uint8 [N, H, W]."""

    root: Path
    pixels: dict[str, np.ndarray] = field(default_factory=dict)

    def at(self, *names: str) -> list[str]:
        return [str(self.root / name) for name in names]


def open_place(place: Path | Store) -> Store:
    return place if isinstance(place, Store) else open_store(str(place))


def store_record(
    place: Path | Store, kind: str, objects: Sequence[StoredObject] = (), metrics: dict[str, Any] | None = None,
    inputs: dict[str, str] | None = None, versions: dict[str, str] | None = None, **recipe: object,
) -> Record:  # fmt: skip
    record = Record(
        kind=kind, recipe=recipe, recipe_digest=recipe_digest(recipe), inputs=inputs or {},
        made=Made(count=3, bytes=30, digest=digest_of((one.key, one.sha256) for one in objects)), objects=[*objects],
        metrics=metrics or {}, versions=versions or {},
    )  # fmt: skip
    return commit_record(open_place(place), record)


def store_set(
    place: Path | Store, kind: str, pixels: np.ndarray, texts: Callable[[int], dict[str, str]],
    taken_out: Sequence[str] = (), source: str = "folder", inputs: dict[str, str] | None = None,
    recipe: dict[str, Any] | None = None, **columns: list,
) -> Record:  # fmt: skip
    """Pictures of which every second shows the first finding."""
    store = open_place(place)
    name = store.uri.rpartition("/")[2]
    ids = columns.pop("image_id", [f"{name}-{row:04d}" for row in range(len(pixels))])
    findings = [FINDINGS[row % 2] for row in range(len(pixels))]
    files = [encode_png(picture, texts(row)) for row, picture in enumerate(pixels)]
    keys = [image_key(*pair) for pair in zip(findings, ids, strict=True)]
    for key, file in zip(keys, files, strict=True):
        store.put(key, file)
    labels = [Labels.only(one).as_columns(FINDINGS) for one in findings]
    told = {
        "image_id": ids, "key": keys, "finding": findings, "sha256": [*map(sha256, files)],
        "source": [source] * len(ids), **{name: [one[name] for one in labels] for name in LISTS}, **columns,
    }  # fmt: skip
    empty = {column: [None] * len(ids) for column in CATALOG.names}
    objects = [store.put(CATALOG_KEY, parquet(pa.table({**empty, **told}, schema=CATALOG)))]
    if taken_out:
        objects.append(store.put(TAKEN_OUT_KEY, json_lines({"image_id": one} for one in taken_out)))
    metrics = {
        **LabelMetrics(vocabulary=list(FINDINGS)).write(), "sources": [source], "quarantined": len(taken_out),
        "lineage": [{"key": "k", "commitment": PATIENT}],
    }  # fmt: skip
    return store_record(store, kind, objects, metrics, inputs, **(recipe or {"name": name}))


def told_in(row: int) -> dict[str, str]:
    """What a generated picture says of its making, and what it should not."""
    return {
        XMP_KEYWORD: GENERATED_XMP,
        "cxr": json.dumps({"seed": 2**62 + row, "prompt": HOME, "lineage": PATIENT}),
    }


def draw(count: int, seed: int, size: tuple[int, int] = (40, 30)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *size), dtype=np.uint8)


def store_real(place: Path, pixels: np.ndarray, source: str = "folder") -> Record:
    count = len(pixels)
    return store_set(
        place, INGESTED_IMAGES, pixels, lambda row: {}, source=source,
        patient_id=[f"{PATIENT}-{row // 2}" for row in range(count)],
        split=[("train", "validation", "test")[row % 3] for row in range(count)], text=["a report"] * count,
    )  # fmt: skip


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The same as `stored`, but for the source of its real set: phantoms."""
    return store_all(tmp_path_factory.mktemp("phantoms"), PHANTOM)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """real -> model -> synthetic -> quality, clean and study; a night of its own set below `nights`.

    Of the synthetic pictures the first is a flagged copy of real-0003, the second could not be judged.
    """
    return store_all(tmp_path_factory.mktemp("browse"), "folder")


def store_all(root: Path, source: str) -> Stored:
    stored = Stored(root, {"real": draw(REAL, 0), "synthetic": draw(SYNTHETIC, 1)})
    store_real(root / "real", stored.pixels["real"], source)
    real = read_set(open_store(str(root / "real")))
    lora = open_store(str(root / "model")).put(LORA_FILE, b"weights")
    card = open_store(str(root / "model")).put("README.md", b"a card")
    store_record(
        root / "model", FINE_TUNED_MODEL, [lora, card],
        {"step": 20, "validation": {"mse": 0.05}, "base": {"mse": 0.06}},
        {"model": "b" * 64, "data": real.digest}, method="lora", rank=4,
    )  # fmt: skip
    asked = {"text": [f"X-ray {row}" if row else f"after {HOME}/list.csv" for row in range(SYNTHETIC)]}
    made_by = {"model": "b" * 64, "lora": digest_of([(LORA_FILE, lora.sha256)])}
    recipe = {"sampler": {"steps": 8, "size": 40, "guidance": 3.0}, "seed": 0, "base": HOME}
    generated = store_set(
        root / "synthetic",
        GENERATED_IMAGES,
        stored.pixels["synthetic"],
        told_in,
        inputs=made_by,
        recipe=recipe,
        **asked,
    )
    synthetic = read_set(open_store(str(root / "synthetic")))
    ids = synthetic.table["image_id"].to_pylist()
    compared = {"real": real.digest, "synthetic": synthetic.digest}
    table = pa.table(
        {
            "image_id": ids,
            "score": np.linspace(0.9, 0.1, SYNTHETIC).astype(np.float32),
            "original": ["real-0003"] * 5 + ["real-0004"] * (SYNTHETIC - 5),
            "copied": [True, None] + [False] * (SYNTHETIC - 2),
        }
    )
    copies = open_store(str(root / "quality")).put(COPIES_KEY, parquet(table))
    page = open_store(str(root / "quality")).put(PAGE_KEY, b"<p>quality")
    store_record(
        root / "quality", EVALUATION, [copies, page], {"summary": ["Fidelity: good."]}, compared, **compared, seed=0
    )
    rest = stored.pixels["synthetic"][2:]
    store_set(
        root / "clean", IMAGES_WITHOUT_COPIES, rest, told_in, ids[:1], image_id=ids[2:],
        inputs={"set": synthetic.digest, "real": real.digest}, recipe={"set": synthetic.digest, "real": real.digest},
    )  # fmt: skip
    sets = {"real": real.record.recipe_digest, "synthetic": generated.recipe_digest}
    study = StudyMetrics(answer="It helps: <b>0.1</b>.", details=["In AUROC."]).write()
    store_record(root / "study", STUDY, [], study, sets, arms=["baseline"], real=real.digest)
    store_set(root / "nights" / "2026-11-21" / "set", GENERATED_IMAGES, draw(3, 2), told_in, recipe={"night": 1})
    night = NightMetrics(passed=True, verdict="night 2026-11-21 passed its gate").write()
    store_record(root / "nights" / "2026-11-21" / "report", NIGHT, [], night, {"data": "c" * 64, "model": "d" * 64})
    return stored
