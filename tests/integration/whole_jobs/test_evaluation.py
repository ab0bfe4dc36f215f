"""A whole small evaluation without a network: what is written, what it says, and the set without its copies."""

import functools
import hashlib
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from cxr.artifact import Record, verify
from cxr.artifact.quality import read_quality
from cxr.data.catalog import CatalogSet, read_images, read_set
from cxr.data.lineage import PHANTOM, PHANTOM_NOTICE, read_lineage
from cxr.data.lineage_key import owner_key
from cxr.data.prompt_accuracy import prompt_accuracies
from cxr.errors import BadInput
from cxr.evaluate import finish, plots
from cxr.evaluate.calibration import CopyCalibration, calibrate
from cxr.evaluate.conclude import conclude
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.features import Extractor
from cxr.evaluate.label_classifier import Classifiers, train_label_classifier
from cxr.evaluate.quarantine import prepare, without_copies
from cxr.evaluate.results import Quality, origin_notes
from cxr.evaluate.sets import describe_part, load_images, open_images
from cxr.evaluate.worker import Earlier, EvaluateWorker, find_earlier, pending, read_earlier, units_of
from cxr.report.limits import LIMITS
from cxr.store import Store, open_store
from cxr.study.pages.page import quality_table
from tests.find_patients import find_patient_ids, iterate_texts
from tests.unit.test_claims import claims

VERSION_0_1 = Path(__file__).with_name("quality_of_version_0_1.json")
pytestmark = pytest.mark.usefixtures("unrendered")
CONFIG = EvaluateConfig(size=64, resamples=10, splits=4, pairs=20, min_samples=12)


@dataclass(frozen=True)
class Evaluated:
    job: finish.EvaluateJob
    quality: Quality
    record: Record
    planted: list[str]  # ids of synthetic pictures that are copies


@pytest.fixture(scope="module")
def sets(stored_set, made_pictures) -> tuple[CatalogSet, CatalogSet]:
    """Of the last two synthetic pictures each is a copy of a training picture; their model knows phantoms."""
    made = {"metrics": {"sources": [PHANTOM]}}
    real, synthetic = made_pictures("r", 120), made_pictures("s", 40, seed=1)
    pixels = [side.read(np.arange(len(side.ids))) for side in (real, synthetic)]
    pixels[1][-2:] = pixels[0][[0, 5]]
    columns = {"finding": real.findings.tolist(), "patient_id": real.patients.tolist(), "split": real.splits.tolist()}
    return (
        stored_set("real", pixels[0], **columns),
        stored_set("synthetic", pixels[1], shards=True, **made, finding=synthetic.findings.tolist()),
    )


def brighter(pixels: np.ndarray) -> np.ndarray:
    """Sees b in bright pictures and a in others."""
    return np.eye(2, dtype=np.float32)[(pixels.mean(axis=(1, 2)) > 130).astype(int)]


@functools.cache
def calibrated(real: str, size: int) -> tuple[CopyCalibration, Classifiers]:
    """Of the set at this location: the same for every evaluation of it."""
    pictures = load_images(read_set(open_store(real)), EvaluateConfig(size=size), lambda count: None)
    known = calibrate(pictures, 100, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    found = train_label_classifier(pictures, pictures.labels, True, ("a", "b"), lambda *parts: brighter, rng)
    return known, Classifiers(found, None)


class Evaluation:
    """The job without Ray and without a network."""

    def __init__(self, sets: tuple[CatalogSet, CatalogSet], place: str, unit: int = 256, **changes: object) -> None:
        config = CONFIG.model_copy(update=changes)
        self.job = finish.prepare(open_store(place), config, "w" * 64, *sets)
        self.units = units_of(self.job, unit)
        self.known, self.classifiers = calibrated(sets[0].store.uri, config.size)
        finish.begin(self.job)

    def look(self, extractor: Extractor, most: int | None = None, earlier: Earlier | None = None) -> list[dict]:
        """Looks at so many units that are not stored yet, the last one first."""
        todo = find_earlier(pending(self.job.store, [*self.units.real, *self.units.synthetic]), earlier)
        work = EvaluateWorker(self.job.store, "tiny", self.job.config.size, 1, earlier)
        with patch("cxr.evaluate.worker.extractor_here", lambda spec: extractor):
            return [
                work(number, pickle.dumps(unit), self.known.index, self.classifiers.predict)
                for number, unit in enumerate(todo[::-1][:most])
            ]

    def complete(self, extractor: Extractor, draw: bool = False) -> tuple[Quality, Record]:
        """Without its plots, unless `draw`: they take as long as all the rest."""
        known, classifiers, note = self.known, self.classifiers, "one <b>note</b>"
        draw_plots = plots.draw_plots if draw else lambda *given: {}
        with patch.object(plots, "draw_plots", draw_plots):
            found = conclude(
                self.job, self.units, ("a", "b"), known, classifiers, extractor, [note], lambda count: None
            )
        return found.quality, self.job.make(lambda: finish.complete(self.job, found, "cpu", {"total": 1.0}))


def quarantined(job: finish.EvaluateJob, place: Store, advance: Callable[[int], object]) -> Record:
    clean = prepare(place, job, job.real, job.synthetic, job.generator)
    copies, accuracies = finish.read_flagged(job), prompt_accuracies(read_quality(job.store).prompt_accuracy)
    return clean.take_finished() or clean.make(lambda: without_copies(clean, copies, accuracies, advance))


@pytest.fixture(scope="module")
def evaluated(sets, grid_extractor, tmp_path_factory) -> Evaluated:
    evaluation = Evaluation(sets, str(tmp_path_factory.mktemp("evaluation") / "out"))
    evaluation.look(grid_extractor)
    quality, record = evaluation.complete(grid_extractor, draw=True)
    return Evaluated(evaluation.job, quality, record, sets[1].table["image_id"].to_pylist()[-2:])


def test_an_evaluation_is_an_artifact_that_verifies(evaluated, sets):
    store = evaluated.job.store
    assert verify(store).clean
    told = json.loads(store.get("quality.json"))
    assert told["real"] == {"digest": sets[0].digest, "kind": "set", "pictures": 240, "name": "real"}
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
        assert "Unaudited: nothing here tests by attack what the synthetic set gives away" in text
        assert "beyond chance" not in text and "2 of 240" not in text
    assert "One &lt;b&gt;note" in page and page.count("<table>") == tables.count("| --- |\n") == 8
    assert PHANTOM_NOTICE in page and f"> **Note:** {PHANTOM_NOTICE}" in tables
    figure = evaluated.quality.groups[0].metrics["coverage"].interval
    assert f"({figure.low:.3g}" in tables


def test_findings_that_exclude_each_other_give_the_figures_of_version_0_1(sets, grid_extractor, tmp_path):
    """Measured by version 0.1 of the same two sets, with fewer pictures in metrics than there are; the threshold of
    near-duplicates by the search that allows for noise, which came later."""
    evaluation = Evaluation(sets, str(tmp_path / "out"), max_samples=60)
    evaluation.look(grid_extractor)
    quality, _ = evaluation.complete(grid_extractor)
    assert_holds(json.loads(quality.json()), json.loads(VERSION_0_1.read_text(encoding="utf-8")))


def assert_holds(found: object, known: object) -> None:
    """What was known is found: the same words and numbers, but for MS-SSIM's rounding, whatever else there is."""
    if isinstance(known, dict):
        for name, value in known.items():
            assert_holds(found[name], value)
    elif isinstance(known, list):
        for one, other in zip(found, known, strict=True):
            assert_holds(one, other)
    else:
        assert found == (pytest.approx(known, rel=1e-5, abs=2e-5) if isinstance(known, float) else known)


def counted(extractor: Extractor) -> tuple[Extractor, list[int]]:
    """The extractor, and how many pictures its network has seen."""
    seen: list[int] = []

    def network(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(len(pictures))
        return extractor.network(pictures)

    return replace(extractor, network=network), seen


def refusing(extractor: Extractor) -> Extractor:
    def network(pictures: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the network is run")

    return replace(extractor, network=network)


@pytest.mark.parametrize("size", [100, pytest.param(7, marks=pytest.mark.slow)])
def test_the_size_of_units_and_their_order_do_not_change_figures(evaluated, sets, grid_extractor, tmp_path, size):
    evaluation = Evaluation(sets, str(tmp_path / "out"), size)
    evaluation.look(grid_extractor)
    quality, _ = evaluation.complete(grid_extractor)
    assert quality.json() == evaluated.quality.json()


def test_what_was_looked_at_before_a_crash_is_not_looked_at_again(evaluated, sets, grid_extractor, tmp_path):
    first = Evaluation(sets, str(tmp_path / "out"), unit=40)
    extractor, seen = counted(grid_extractor)
    first.look(extractor, most=5)
    again = Evaluation(sets, str(tmp_path / "out"), unit=40)
    again.look(extractor)
    assert sum(seen) == 240 + 80
    quality, record = again.complete(grid_extractor)
    assert quality.json() == evaluated.quality.json()
    assert verify(again.job.store).clean and not list(again.job.store.list("commits/"))
    assert sum(stored.key.startswith("features/") for stored in record.objects) == 6 + 2


@pytest.mark.parametrize("changes", [{"seed": 1}, {"against": "all"}])
def test_a_second_evaluation_uses_the_features_of_the_first(evaluated, sets, grid_extractor, tmp_path, changes):
    """Also where it compares with other pictures, so that they lie in other units."""
    cold, warm = (Evaluation(sets, str(tmp_path / name), **changes) for name in ("cold", "warm"))
    cold.look(grid_extractor)
    earlier = read_earlier(warm.job, evaluated.job.store)
    assert all(told["fresh"] == 0 for told in warm.look(refusing(grid_extractor), earlier=earlier))
    quality, _ = warm.complete(grid_extractor)
    assert quality.json() == cold.complete(grid_extractor)[0].json()
    assert verify(warm.job.store).clean


def test_features_are_of_pictures_as_they_are_stored_whatever_size_the_rest_is_seen_at(
    evaluated, sets, grid_extractor, tmp_path
):
    other = Evaluation(sets, str(tmp_path / "out"), size=32)
    assert {unit.features for unit in other.units.real} <= set(read_earlier(other.job, evaluated.job.store).digests)
    other.look(grid_extractor)
    for unit in (*other.units.real, *other.units.synthetic):
        assert other.job.store.get(unit.features) == evaluated.job.store.get(unit.features)


def test_damaged_features_are_refused_in_one_line(evaluated, sets, grid_extractor, tmp_path):
    with pytest.raises(BadInput, match=f"--features {sets[0].store.uri}: holds no finished evaluation"):
        read_earlier(evaluated.job, sets[0].store)
    first = Evaluation(sets, str(tmp_path / "first"))
    first.look(grid_extractor)
    unit = first.units.real[0]
    first.job.store.put(unit.features, first.job.store.get(first.units.synthetic[0].features))
    with pytest.raises(BadInput, match=r"holds no features of these pictures \(of others\); remove it"):
        first.complete(grid_extractor)
    second, earlier = Evaluation(sets, str(tmp_path / "second")), read_earlier(first.job, evaluated.job.store)
    with pytest.raises(BadInput, match="not what its record names"):
        second.look(grid_extractor, earlier=replace(earlier, digests=dict.fromkeys(earlier.digests, "0" * 64)))


def test_another_recipe_into_the_same_place_is_refused(evaluated, sets):
    same = finish.prepare(evaluated.job.store, CONFIG, "w" * 64, *sets)
    assert same.recipe == evaluated.job.recipe
    other = CONFIG.model_copy(update={"seed": 1})
    with pytest.raises(BadInput, match="seed 0 -> 1"):
        finish.prepare(evaluated.job.store, other, "w" * 64, *sets)


def test_sets_without_phantoms_are_not_said_to_be_of_them(sets, stored_set):
    real = stored_set("real", np.zeros((2, 8, 8), np.uint8))
    drawn = stored_set("drawn", np.zeros((2, 8, 8), np.uint8), source=[PHANTOM, "folder"])
    several = stored_set("several", np.zeros((11, 8, 8), np.uint8), source=[PHANTOM, *["folder"] * 10])
    assert origin_notes(real, real) == [] and origin_notes(drawn, real) == origin_notes(*sets) == [PHANTOM_NOTICE]
    assert origin_notes(real, several) == ["Behind the synthetic pictures are phantoms and folder."]


def test_the_set_without_copies_is_whole_and_says_what_is_missing(evaluated, sets, tmp_path):
    with pytest.raises(BadInput, match="is --out too"):
        quarantined(evaluated.job, evaluated.job.store, print)
    place, heard = open_store(str(tmp_path / "clean")), []
    record = quarantined(evaluated.job, place, heard.append)
    assert verify(place).clean
    clean, taken = read_set(place), record.metrics["quarantined"]
    assert len(clean.table) == 80 - taken == sum(heard)
    assert not set(evaluated.planted) & set(clean.table["image_id"].to_pylist())
    kept = open_images(sets[1], CONFIG)
    rows = np.flatnonzero(np.isin(kept.ids, clean.table["image_id"].to_pylist()))
    assert np.array_equal(read_images(place, clean.table, 64), kept.read(rows))
    card = place.get("README.md").decode()
    assert (
        f"{taken} flagged as near-duplicates taken out" in card
        and PHANTOM_NOTICE in card
        and clean.sources == [PHANTOM]
    )
    lines = [json.loads(line) for line in place.get("quarantined.jsonl").splitlines()]
    assert {line["image_id"] for line in lines} >= set(evaluated.planted) and "original" not in lines[0]
    described = {line["image_id"]: line for line in map(json.loads, place.get("images/metadata.jsonl").splitlines())}
    for row in clean.table.to_pylist():
        line = described[row["image_id"]]
        assert {
            name: line[name] for name in ("present", "absent", "uncertain", "view", "sex", "age")
        }.items() <= row.items()
        assert (line["prompt"], f"images/{line['file_name']}") == (row["text"], row["key"])
    assert quarantined(evaluated.job, place, heard.append) == record
    told = {one["finding"]: (one["seen"], one["total"]) for one in record.metrics["prompt_accuracy"]}
    found = evaluated.quality.prompt_accuracy.synthetic.findings
    assert told == {name: (rate.count, rate.total) for name, rate in found.items()}
    assert "counts" not in str(record.metrics), "of real patients only shares"


def test_the_set_without_copies_tells_nobody_whom_the_generator_was_shown(evaluated, sets, stored_set, tmp_path):
    plain = [hashlib.sha256(f"p{number}".encode()).hexdigest() for number in range(1, 400)]
    old = sets[1].record.model_copy(update={"metrics": {"patients_seen": plain, "sources": [PHANTOM]}})
    patients = pa.array([f"canary-{row}" for row in range(80)])
    column = sets[1].table.schema.get_field_index("patient_id")
    named = replace(sets[1], record=old, table=sets[1].table.set_column(column, "patient_id", patients))
    job = replace(evaluated.job, synthetic=named, generator="it was not checked")
    record = quarantined(job, open_store(str(tmp_path / "clean")), print)
    assert find_patient_ids(tmp_path / "clean") == set() and "canary-" not in "".join(iterate_texts(tmp_path / "clean"))
    assert [each.key for each in read_lineage(record.metrics)] == [owner_key().id]
    assert "It was not checked. " in (tmp_path / "clean" / "README.md").read_text()
    lost = replace(named, record=old.model_copy(update={"metrics": {}}))
    record = quarantined(replace(job, synthetic=lost), open_store(str(tmp_path / "other")), print)
    assert record.metrics["lineage"] is None


def test_with_few_training_pictures_the_rest_is_measured_and_near_duplicates_are_not_told(
    sets, stored_set, made_pictures, grid_extractor, tmp_path
):
    few = made_pictures("few", 60)
    columns = {"finding": few.findings.tolist(), "patient_id": few.patients.tolist(), "split": few.splits.tolist()}
    real = stored_set("few", few.read(np.arange(120)), **columns)
    evaluation = Evaluation((real, sets[1]), str(tmp_path / "out"))
    evaluation.look(grid_extractor)
    _, record = evaluation.complete(grid_extractor)
    store, reason = evaluation.job.store, "72 training pictures, where telling near-duplicates takes 100"
    told = json.loads(store.get("quality.json"))
    assert told["copies"] is None and told["copies_reason"] == reason and told["groups"][0]["figures"]
    assert record.metrics["copies"] is None and record.metrics["copies_beyond_chance"] is None
    assert f"Near-duplicates: not possible to tell, because there are {reason}." in record.metrics["summary"]
    for key in ("index.html", "quality.md"):
        assert f"not possible to tell, because there are {reason}" in store.get(key).decode()
    assert set(pq.read_table(io.BytesIO(store.get("copies.parquet")))["copied"].to_pylist()) == {None}
    assert quality_table(read_quality(store))[1][-1][0] == "flagged as near-duplicates: not possible to tell"


def test_page_and_card_open_with_what_was_found_and_print_what_was_not_looked_for(evaluated, tmp_path):
    store = evaluated.job.store
    page = store.get("quality.md").decode()
    first = [line for line in page.splitlines() if line.startswith("- ")]
    assert [line.split(":")[0] for line in first] == ["- Fidelity", "- Labels", "- Near-duplicates"]
    assert "look like near-duplicates of a training picture, " in first[2] and "would by chance" in first[2]
    assert "80 pictures of synthetic" in page and "of real (set): distances to its held-out pictures" in page
    quarantined(evaluated.job, open_store(str(tmp_path / "clean")), print)
    card = (tmp_path / "clean" / "README.md").read_text()
    assert LIMITS in page and LIMITS in card
    assert claims(page) == claims(card) == claims(json.dumps(evaluated.record.metrics)) == []


def test_figures_compare_with_held_out_pictures_unless_there_are_none(sets, stored_set, made_pictures, tmp_path):
    job = finish.prepare(open_store(str(tmp_path / "a")), CONFIG, "w" * 64, *sets)
    assert job.against == "held-out" and describe_part(sets[0], job.against, CONFIG) == []
    undivided = stored_set("undivided", np.zeros((40, 8, 8), np.uint8), finding=["a", "b"] * 20, split=["train"] * 40)
    job = finish.prepare(open_store(str(tmp_path / "b")), CONFIG, "w" * 64, undivided, sets[1])
    assert job.against == "all"
    assert describe_part(undivided, "all", CONFIG)[0].startswith(
        "the real set has no validation or test part, so distances"
    )
