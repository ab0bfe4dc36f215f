"""A whole small evaluation without a network: what is written, what it says, and the set without its copies."""

import io
import json
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr.data.catalog import CatalogSet, pictures, read_set
from cxr.errors import BadInput
from cxr.evaluate import finish
from cxr.evaluate.agreement import agree
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.copies import find_copies
from cxr.evaluate.pictures import draw
from cxr.evaluate.quality import Quality, measure, notes_of, source_of
from cxr.evaluate.quarantine import without_copies
from cxr.evaluate.sets import load
from cxr.store import Record, open_store, verify

CONFIG = EvaluateConfig(size=64, resamples=10, splits=4, pairs=20, least=12)


@dataclass(frozen=True)
class Evaluated:
    job: finish.Job
    quality: Quality
    record: Record
    planted: list[str]  # ids of synthetic pictures that are copies


@pytest.fixture(scope="module")
def sets(stored_set, made_pictures) -> tuple[CatalogSet, CatalogSet]:
    """Of the last two synthetic pictures each is a copy of a training picture."""
    real, synthetic = made_pictures("r", 120), made_pictures("s", 40, seed=1)
    synthetic.pixels[-2:] = real.pixels[[0, 5]]
    columns = {"finding": real.findings.tolist(), "patient_id": real.patients.tolist(), "split": real.splits.tolist()}
    return (
        stored_set("real", real.pixels, **columns),
        stored_set("synthetic", synthetic.pixels, shards=True, finding=synthetic.findings.tolist()),
    )


@pytest.fixture(scope="module")
def evaluated(sets, grid_extractor, tmp_path_factory) -> Evaluated:
    job = finish.prepare(open_store(str(tmp_path_factory.mktemp("evaluation") / "out")), CONFIG, "w", *sets)
    finish.begin(job)
    real, synthetic = (load(side, 64, lambda count: None) for side in sets)
    features = grid_extractor(real.pixels), grid_extractor(synthetic.pixels)
    groups = measure(real, synthetic, features, ("a", "b"), grid_extractor, CONFIG, lambda count: None)
    copies, found, unrelated = find_copies(real, synthetic, 200, np.random.default_rng(0))
    brighter = agree(real, synthetic, ("a", "b"), lambda *parts: lambda x: (x.mean(axis=(1, 2)) > 130).astype(int))
    notes = notes_of(groups, brighter, copies, 16)
    sources = map(source_of, sets)
    quality = Quality("tiny", "w", 16, *sources, "all", groups, brighter, copies, ["one <b>note</b>", *notes])
    drawn = draw(quality, real, synthetic, features, (real, found, unrelated), CONFIG, np.random.default_rng(0))
    table = finish.copies_table(real, synthetic, found, copies.threshold)
    record = finish.complete(job, quality, table, drawn, "cpu", {"total": 1.0})
    return Evaluated(job, quality, record, synthetic.ids[-2:].tolist())


def test_an_evaluation_is_an_artifact_that_verifies(evaluated, sets):
    store = evaluated.job.store
    assert verify(store).clean
    told = json.loads(store.get("quality.json"))
    assert told["real"] == {"digest": sets[0].digest, "kind": "set", "pictures": 240}
    assert told["agreement"]["real"]["agree"]["total"] == 48
    assert evaluated.record.metrics["copies"] == told["copies"]["rate"]["count"] >= 2
    plan = pq.read_table(io.BytesIO(store.get("plan.parquet")))
    assert plan["set"].to_pylist().count("real") == 240 and len(plan) == 320
    copies = pq.read_table(io.BytesIO(store.get("copies.parquet"))).to_pylist()
    assert [row["original"] for row in copies if row["image_id"] in evaluated.planted] == ["real-0000", "real-0005"]
    assert {row["image_id"] for row in copies if row["copied"]} >= set(evaluated.planted)


def test_page_and_tables_show_every_figure_and_picture(evaluated):
    store = evaluated.job.store
    page, tables = store.get("index.html").decode(), store.get("quality.md").decode()
    for text in (page, tables):
        for key in ("comparison.png", "distributions.png", "density.png", "copies.png"):
            assert key in text and Image.open(io.BytesIO(store.get(key))).size[0] > 300
        assert "Fréchet distance (tiny)" in text and "FID" not in text
        assert "beyond chance" not in text and "2 of 240" not in text
    assert "one &lt;b&gt;note" in page and page.count("<table>") == tables.count("| --- |\n") == 6
    figure = evaluated.quality.groups[0].figures["coverage"].interval
    assert f"({figure.low:.3g}" in tables


def test_another_recipe_into_the_same_place_is_refused(evaluated, sets):
    same = finish.prepare(evaluated.job.store, CONFIG, "w", *sets)
    assert same.recipe == evaluated.job.recipe
    other = CONFIG.model_copy(update={"seed": 1})
    with pytest.raises(BadInput, match="seed 0 -> 1"):
        finish.prepare(evaluated.job.store, other, "w", *sets)


def test_the_set_without_copies_is_whole_and_says_what_is_missing(evaluated, sets, tmp_path):
    with pytest.raises(BadInput, match="is --out too"):
        without_copies(evaluated.job, evaluated.job.store, print)
    place, heard = open_store(str(tmp_path / "clean")), []
    record = without_copies(evaluated.job, place, heard.append)
    assert verify(place).clean
    clean, taken = read_set(place), record.metrics["quarantined"]
    assert len(clean.table) == 80 - taken == sum(heard)
    assert not set(evaluated.planted) & set(clean.table["image_id"].to_pylist())
    kept = load(sets[1], 64, lambda count: None)
    rows = np.isin(kept.ids, clean.table["image_id"].to_pylist())
    assert np.array_equal(pictures(place, clean.table, 64), kept.pixels[rows])
    assert f"{taken} copies taken out" in place.get("README.md").decode()
    lines = [json.loads(line) for line in place.get("quarantined.jsonl").splitlines()]
    assert {line["image_id"] for line in lines} >= set(evaluated.planted) and "original" not in lines[0]
    assert without_copies(evaluated.job, place, heard.append) == record
