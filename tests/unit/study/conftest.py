"""Two small sets for studies: 60 real pictures of 30 patients, split; 48 synthetic ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cxr.artifact import Made, Record, recipe_digest
from cxr.artifact.metrics import LEAK, AuditMetrics
from cxr.data.catalog import CatalogSet

CLASSES = ["normal", "pneumonia"]


@pytest.fixture(scope="session")
def real_set(stored_set) -> CatalogSet:
    rng = np.random.default_rng(1)
    rows = np.arange(60)
    return stored_set(
        "real", rng.integers(0, 256, (60, 32, 32), dtype=np.uint8),
        finding=[CLASSES[row % 4 // 2] for row in rows],
        patient_id=[f"p{row // 2}" for row in rows],
        split=[("train" if row < 40 else "validation" if row < 48 else "test") for row in rows],
        view=["PA" if row % 3 else "AP" for row in rows],
        age=[20 + row for row in rows],
    )  # fmt: skip


@pytest.fixture(scope="session")
def synthetic_set(stored_set) -> CatalogSet:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (48, 32, 32), dtype=np.uint8)
    return stored_set("fake", pixels, finding=CLASSES * 24, metrics={"patients_seen": []})


def of_record(found: CatalogSet, **fields: Any) -> CatalogSet:
    """The set with another record."""
    return replace(found, record=found.record.model_copy(update=fields))


def audit_of(real: CatalogSet, synthetic: CatalogSet) -> Record:
    recipe, made = {"real": real.digest, "synthetic": synthetic.digest}, Made(count=9, bytes=0, digest="")
    found = AuditMetrics(verdict=LEAK, risks={}, tests={"one": LEAK}, summary=["Inference: leak found by: one."])
    return Record(kind="audit", recipe=recipe, recipe_digest=recipe_digest(recipe), made=made, objects=[],
                  metrics=found.write())  # fmt: skip


def evaluation_of(real: CatalogSet, synthetic: CatalogSet, copies: int | None = 0) -> Record:
    recipe = {"real": real.digest, "synthetic": synthetic.digest}
    made = Made(count=9, bytes=0, digest="")
    return Record(kind="evaluation", recipe=recipe, recipe_digest=recipe_digest(recipe), made=made, objects=[],
                  metrics={"copies": copies})  # fmt: skip
