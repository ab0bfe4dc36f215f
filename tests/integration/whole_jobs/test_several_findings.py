"""A whole evaluation of pictures that can show fourteen findings, without a network: what is asked of each picture
brightens a field of its own."""

import json
import pickle
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

from cxr.artifact import verify
from cxr.artifact.quality import read_quality
from cxr.data.catalog import CatalogSet
from cxr.data.labels import Labels
from cxr.data.prompt_accuracy import prompt_accuracies
from cxr.evaluate import finish
from cxr.evaluate.calibration import calibrate
from cxr.evaluate.conclude import conclude
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.label_classifier import Classifiers, Labelled, train_label_classifier
from cxr.evaluate.sets import Labelling, comparable_findings, label_attributes, load_images
from cxr.evaluate.worker import EvaluateWorker, units_of
from cxr.store import open_store
from tests.stored import label_columns

pytestmark = pytest.mark.usefixtures("unrendered")
NIH = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
FIELDS = (*NIH, "view PA", "sex M")
CONFIG = EvaluateConfig(size=64, resamples=10, splits=4, pairs=20, min_samples=12)


def draw(stored_set, name: str, count: int, seed: int, wrong: tuple[str, ...] = ()) -> CatalogSet:
    """Two pictures a patient; of `wrong` findings half of the labels are dealt out anew."""
    rng = np.random.default_rng(seed)
    shown = rng.random((count, len(FIELDS))) < np.array([0.25] * len(NIH) + [0.5, 0.5])
    shown[rng.random(count) < 0.3, : len(NIH)] = False
    fields = np.clip(rng.normal(90, 16, shown.shape) + 50 * shown, 0, 255).reshape(-1, 4, 4)
    pixels = (np.kron(fields, np.ones((16, 16))) + rng.uniform(-6, 6, (count, 64, 64))).clip(0, 255).astype(np.uint8)
    for finding in wrong:
        column = NIH.index(finding)
        shown[:, column] = np.where(rng.random(count) < 0.5, rng.permutation(shown[:, column]), shown[:, column])
    labels = [Labels(tuple(n for n, is_shown in zip(NIH, row, strict=False) if is_shown), None) for row in shown]
    columns = label_columns(labels, NIH) | {
        "view": np.where(shown[:, -2], "PA", "AP").tolist(),
        "sex": np.where(shown[:, -1], "M", "F").tolist(),
        "patient_id": [f"p{row // 2}" for row in range(count)],
        "split": np.array(["train", "train", "validation", "test"])[np.arange(count) // 2 % 4].tolist(),
    }
    return stored_set(name, pixels, **columns)


@pytest.fixture(scope="module")
def real(stored_set) -> CatalogSet:
    return draw(stored_set, "real", 480, 0)


@pytest.fixture(scope="module")
def synthetic(stored_set) -> CatalogSet:
    found = draw(stored_set, "synthetic", 160, 1, wrong=("Mass",))
    column = found.table.schema.get_field_index("split")
    return replace(found, table=found.table.set_column(column, "split", [[None] * 160]).cast(found.table.schema))


def brightness(names: tuple[str, ...], train: Labelled, validation: Labelled):
    """Of the field of each."""
    places = [FIELDS.index(name) for name in names]
    return lambda pixels: pixels.reshape(-1, 4, 16, 4, 16).mean(axis=(2, 4)).reshape(-1, 16)[:, places] / 255


def evaluate(real: CatalogSet, synthetic: CatalogSet, place: str, extractor) -> finish.EvaluateJob:
    """The job without Ray and without a network."""
    job = finish.prepare(open_store(place), CONFIG, "w" * 64, real, synthetic)
    findings, left_out = comparable_findings(real, synthetic, CONFIG)
    pictures, rng = load_images(real, CONFIG, lambda count: None), np.random.default_rng(0)
    known, attributes = calibrate(pictures, 100, rng), label_attributes(real, synthetic, CONFIG).real
    trained = [
        train_label_classifier(
            pictures, labels, False, names, lambda *parts, names=names: brightness(names, *parts), rng
        )
        for labels, names in ((Labelling(NIH, pictures.labels.columns(NIH)), NIH), (attributes, attributes.names))
        if names
    ]
    classifiers, units = Classifiers(*trained, *[None] * (2 - len(trained))), units_of(job)
    finish.begin(job)
    with patch("cxr.evaluate.worker.extractor_here", lambda spec: extractor):
        work = EvaluateWorker(job.store, "tiny", CONFIG.size, 1, None)
        for number, unit in enumerate([*units.real, *units.synthetic]):
            work(number, pickle.dumps(unit), known.index, classifiers.predict)
    found = conclude(job, units, findings, known, classifiers, extractor, left_out, lambda count: None)
    job.make(lambda: finish.complete(job, found, "cpu", {"total": 1.0}))
    return job


@pytest.fixture(scope="module")
def evaluated(real, synthetic, grid_extractor, tmp_path_factory) -> finish.EvaluateJob:
    return evaluate(real, synthetic, str(tmp_path_factory.mktemp("several") / "out"), grid_extractor)


def test_each_finding_and_their_absence_is_a_group_and_all_counts_each_picture_once(evaluated, synthetic):
    told = json.loads(evaluated.store.get("quality.json"))
    assert [group["finding"] for group in told["groups"]] == ["all", *sorted([*NIH, "No_Finding"])]
    counts = {group["finding"]: group["synthetic_count"] for group in told["groups"]}
    assert counts["all"] == 160 < sum(counts[name] for name in NIH)
    assert counts["No_Finding"] == synthetic.table["finding"].to_pylist().count("No_Finding")
    assert verify(evaluated.store).clean


def test_the_finding_whose_labels_were_dealt_out_anew_is_found_and_no_other(evaluated):
    told = json.loads(evaluated.store.get("quality.json"))["agreement"]
    lost = {
        name: told["real"]["aurocs"][name]["low"] - one["high"] for name, one in told["synthetic"]["aurocs"].items()
    }
    assert [name for name, gap in lost.items() if gap > 0] == ["Mass"] and len(lost) == 14
    right = {one.finding: one.right for one in prompt_accuracies(read_quality(evaluated.store).prompt_accuracy)}
    assert min(right, key=right.get) == "Mass" and right["Mass"] < 0.75 < 0.9 < min(
        right[n] for n in NIH if n != "Mass"
    )


def test_page_shows_every_finding_and_attribute(evaluated):
    page = evaluated.store.get("quality.md").decode()
    for name in (*NIH, "view PA", "sex M"):
        assert f"| {name} |" in page
    assert "tells pictures that were asked to show Mass from those that were not with an AUROC of 0." in page
    assert "accuracy of age is not measured: neither set names it" in page.lower() and "prompt_accuracy.png" in page


def test_a_set_that_does_not_say_its_view_has_no_accuracy_of_it_and_says_so(real, synthetic):
    column = synthetic.table.schema.get_field_index("view")
    blind = replace(
        synthetic, table=synthetic.table.set_column(column, "view", [[None] * 160]).cast(synthetic.table.schema)
    )
    found = label_attributes(real, blind, CONFIG)
    assert found.real.names == ("sex M",) and found.left_out == [
        "accuracy of view is not measured: the synthetic set does not say what was asked for",
        "accuracy of age is not measured: neither set names it",
    ]


def test_age_is_above_the_middle_of_the_training_patients(real, synthetic):
    ages = [[30, 70, 50, None] * (len(found.table) // 4) for found in (real, synthetic)]
    column = real.table.schema.get_field_index("age")
    aged = [
        replace(found, table=found.table.set_column(column, "age", [years]).cast(found.table.schema))
        for found, years in zip((real, synthetic), ages, strict=True)
    ]
    found = label_attributes(aged[0], aged[1], CONFIG)
    assert found.real.names == ("view PA", "sex M", "age above 50") and found.left_out == []
    assert np.array_equal(found.synthetic.values[:4, 2], [0, 1, 0, np.nan], equal_nan=True)
