"""What is published describes itself: mlcroissant validates the description, and loads rows and pictures by it."""

import json
from pathlib import Path

import mlcroissant
import numpy as np
import pytest

from cxr import cli
from cxr.jobs import publish
from cxr.publish.formats import FORMAT_NAMES
from tests.unit.publish.conftest import FINDINGS, store_audit

NONE = "no leak found at this power"


def published(generated, place: Path, form: str, *words: str) -> Path:
    assert publish.main(cli.parse(publish.Args, [generated.uri, "--to", str(place), "--as", form, *words])) == 0
    return place / "croissant.json"


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_it_validates_and_its_rows_load(generated, audit, tmp_path, form):
    file = published(generated, tmp_path / "out", form, "--audit", audit)
    described = mlcroissant.Dataset(jsonld=file)
    assert not described.metadata.ctx.issues.errors
    rows = list(described.records("catalog-rows"))
    assert [row["catalog-rows/finding"].decode() for row in rows] == [FINDINGS[n % 3] for n in range(7)]
    assert [one.decode() for one in rows[1]["catalog-rows/absent"]] == ["effusion", "normal"]
    assert rows[0]["catalog-rows/age"] == 58


@pytest.mark.parametrize("form", ["parquet", "imagefolder"])
def test_its_pictures_load(generated, audit, tmp_path, form):
    file = published(generated, tmp_path / "out", form, "--audit", audit)
    found = {
        row["picture-rows/image_id"].decode(): np.asarray(row["picture-rows/image"].convert("L"))  # files come as RGB
        for row in mlcroissant.Dataset(jsonld=file).records("picture-rows")
    }
    ids = generated.found.table["image_id"].to_pylist()
    assert sorted(found) == ids
    assert all(np.array_equal(found[image_id], generated.pixels[n]) for n, image_id in enumerate(ids))


def test_what_was_looked_for_is_said_in_the_vocabulary_for_responsible_ai(generated, tmp_path):
    undecided = store_audit(tmp_path / "undecided", generated.found.digest, near_duplicates=NONE, canaries="not tested")
    told = mlcroissant.Dataset(published(generated, tmp_path / "a", "parquet", "--audit", undecided)).metadata
    assert f"near duplicates: {NONE}" in told.personal_sensitive_information
    assert "canaries: not tested" in told.personal_sensitive_information
    assert "NIH ChestX-ray14" in told.data_collection_raw_data and "clinical use" in told.data_limitations[0]
    bare = published(generated, tmp_path / "b", "parquet", "--unaudited")
    assert any(
        line.startswith("Unaudited") for line in mlcroissant.Dataset(bare).metadata.personal_sensitive_information
    )
    assert "(unaudited)" in json.loads(bare.read_text())["name"]


def test_a_catalog_that_was_changed_does_not_load(generated, audit, tmp_path):
    file = published(generated, tmp_path / "out", "parquet", "--audit", audit)
    catalog = tmp_path / "out/catalog.parquet"
    catalog.write_bytes(catalog.read_bytes() + b" ")
    with pytest.raises(Exception, match=r"Download\(catalog\)") as refused:
        list(mlcroissant.Dataset(jsonld=file).records("catalog-rows"))
    assert "not identical" in str(refused.value.__cause__)
