"""A generated set with canaries wherever something private can stand, and an audit of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY
from cxr.artifact.kinds import AUDIT, EVALUATION, GENERATED_IMAGES
from cxr.artifact.metrics import AuditMetrics, LabelMetrics
from cxr.data.catalog import CATALOG, CatalogSet, image_key, read_set
from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, encode_png
from cxr.data.labels import Labels
from cxr.data.lineage import LINEAGE, SET_SOURCES
from cxr.store import digest_of, open_store, parquet, sha256

PATIENT, HOME, BUCKET = "CANARY-PATIENT-4711", "/home/someone/canary-data", "s3://canary-hospital/xrays"
CANARIES = (PATIENT, "canary-data", "canary-hospital", "someone")
FINDINGS = ("effusion", "nodule", "normal")


@dataclass(frozen=True)
class Generated:
    found: CatalogSet
    pixels: np.ndarray  # uint8 [N, H, W]

    @property
    def uri(self) -> str:
        return self.found.store.uri


def draw(count: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 20), dtype=np.uint8)


def store_generated(
    place: Path, pixels: np.ndarray, kind: str = GENERATED_IMAGES, unmarked: Sequence[int] = (), **columns: list
) -> Generated:
    """Rows show effusion, nodule and normal in turn, all but a few columns as `generate` writes them."""
    store, count = open_store(str(place)), len(pixels)
    findings = [FINDINGS[row % 3] for row in range(count)]
    ids = [f"{row:032x}" for row in range(count)]
    told = {"cxr": f'{{"prompt": "{HOME}", "lineage": "{PATIENT}"}}', XMP_KEYWORD: GENERATED_XMP}
    texts = [{"cxr": told["cxr"]} if row in unmarked else told for row in range(count)]
    files = [encode_png(picture, text) for picture, text in zip(pixels, texts, strict=True)]
    keys = [image_key(*pair) for pair in zip(findings, ids, strict=True)]
    for key, file in zip(keys, files, strict=True):
        store.put(key, file)
    prompts = [f"Chest X-ray, AP/PA: {finding}" for finding in findings]
    prompts[0] = f"after {HOME}/list.csv"
    lists = [Labels.only(finding).as_columns(FINDINGS) for finding in findings]
    table = {
        "image_id": ids, "key": keys, "finding": findings, "sha256": [*map(sha256, files)], "text": prompts,
        "view": ["PA", "AP", "lateral"] * count, "sex": ["F", "M", None] * count, "age": [58, 61, None] * count,
        "source": [f"folder {HOME}"] * count, "licence": ["Apache-2.0"] * count,
        **{name: [one[name] for one in lists] for name in ("present", "absent", "uncertain")}, **columns,
    }  # fmt: skip
    table = {name: values[:count] for name, values in table.items()}
    catalog = pa.Table.from_pylist([dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)],
                                   schema=CATALOG)  # fmt: skip
    objects = [
        store.put(CATALOG_KEY, parquet(catalog.replace_schema_metadata({"from": HOME}))),
        store.put(CARD_KEY, f"made from {HOME} of {PATIENT}".encode()),
    ]
    store.put("real.png", encode_png(draw(1, 99)[0], {"patient": PATIENT}))  # lies there, is in no catalog
    metrics = {
        LINEAGE: [{"key": "k", "commitment": PATIENT}], SET_SOURCES: ["NIH ChestX-ray14", HOME, BUCKET],
        **LabelMetrics(vocabulary=list(FINDINGS), exclusive=True).write(),
    }  # fmt: skip
    recipe = {"model": HOME, "like": BUCKET}
    made = Made(count=count, bytes=0, digest=digest_of(zip(keys, table["sha256"], strict=True)))
    record = Record(
        kind=kind, recipe=recipe, recipe_digest=recipe_digest(recipe), made=made, objects=objects, metrics=metrics,
        inputs={"prompts": PATIENT}, device=f"cpu of {HOME}",
    )  # fmt: skip
    commit_record(store, record)
    return Generated(read_set(store), pixels)


def store_audit(place: Path, synthetic: str, **tests: str) -> str:
    """An audit of the set of this digest with these verdicts, each of a risk of its own."""
    verdicts = {name.replace("_", " "): verdict for name, verdict in tests.items()}
    order = ("leak found", "not decided at this power", "no leak found at this power", "not tested")
    metrics = AuditMetrics(
        verdict=min(verdicts.values(), key=order.index), risks={f"risk of {name}": v for name, v in verdicts.items()},
        tests=verdicts, summary=["Of 9 pictures none was flagged.", f"It looked at {HOME}."],
    )  # fmt: skip
    return store_record(place, AUDIT, {"real": "r" * 64, "synthetic": synthetic}, metrics.write())


def store_record(place: Path, kind: str, recipe: dict, metrics: dict) -> str:
    made = Made(count=0, bytes=0, digest=digest_of([]))
    digest = recipe_digest(recipe)
    record = Record(kind=kind, recipe=recipe, recipe_digest=digest, made=made, objects=[], metrics=metrics)
    commit_record(open_store(str(place)), record)
    return str(place)


def store_evaluation(place: Path, synthetic: str) -> str:
    def metric(value: float) -> dict:
        interval = {"value": value, "corrected": value - 1.5, "low": value - 2.5, "high": value}
        return {"interval": interval, "floor": {"value": 3.0, "low": 2.5, "high": 3.5, "synthetic": 12.0}}

    def group(finding: str, value: float) -> dict:
        return {
            "finding": finding,
            "real_count": 40,
            "synthetic_count": 2,
            "figures": {"frechet_distance": metric(value)},
        }

    rate, seen = {"share": 0.75, "low": 0.5, "high": 0.9}, {"value": 0.8, "low": 0.7, "high": 0.9}
    counted = {"nodule": rate | {"count": 3, "total": 4}}
    side = {"agree": rate, "findings": counted, "absent": counted, "counts": [], "aurocs": {"nodule": seen}}
    quality = {
        "extractor": "embedded", "against": "real", "synthetic": {"pictures": 7},
        "groups": [group("all", 12.5), group("effusion", 20.0), group("nodule", 30.0)],
        "agreement": {"findings": ["nodule"], "real": side | {"aurocs": {}}, "synthetic": side}, "copies": None,
    }  # fmt: skip
    import json

    open_store(str(place)).put("quality.json", json.dumps(quality).encode())
    return store_record(place, EVALUATION, {"real": "r" * 64, "synthetic": synthetic}, {})


@pytest.fixture
def generated(tmp_path: Path) -> Generated:
    return store_generated(tmp_path / "synthetic", draw(7))


@pytest.fixture
def audit(generated: Generated, tmp_path: Path) -> str:
    return store_audit(
        tmp_path / "audit", generated.found.digest, near_duplicates="no leak found at this power", canaries="not tested"
    )
