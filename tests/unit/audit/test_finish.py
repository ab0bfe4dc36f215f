"""What other stages take from a finished audit: the pictures that it flags."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.data.catalog import read_set
from cxr.data.labels import Labels
from cxr.data.prompt_accuracy import PromptAccuracy
from cxr.store import open_store
from tests.stored import label_columns

FLAGS = {"copied_details": [True, False, None, False], "copied_key_points": [False, True, None, False]}


@pytest.fixture
def audited(stored_set, tmp_path: Path):
    """An audit as its job leaves it: nothing was attacked for it."""
    from cxr.audit.config import AuditConfig
    from cxr.audit.finish import PICTURES_KEY, AuditJob

    pixels = np.random.default_rng(0).integers(0, 255, (64, 16, 16), dtype=np.uint8)
    real = stored_set("real", pixels[:60], patient_id=[f"p{row}" for row in range(60)])
    synthetic = stored_set("synthetic", pixels[60:], finding=["a", "b", "a", "b"])
    ids = synthetic.table["image_id"].to_pylist()
    table = {
        "image_id": ids, "finding": ["a", "b", "a", "b"], "nearest_details": [True] * 4, **FLAGS,
        "score_details": [0.9, 0.2, 0.1, 0.1], "score_key_points": [9.0, 90.0, 1.0, 1.0],
        "original_details": ["real-0001"] * 4, "original_key_points": ["real-0002"] * 4,
    }  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    job = AuditJob(open_store(str(tmp_path / "audit")), {}, AuditConfig(), real, synthetic, None, "no model was given")
    job.store.put(PICTURES_KEY, sink.getvalue())
    return job


def test_pictures_that_either_detector_flags_are_taken_out_and_no_training_picture_is_named(audited, tmp_path: Path):
    from cxr.audit.finish import read_flagged
    from cxr.evaluate.quarantine import prepare, write_set

    place = open_store(str(tmp_path / "clean"))
    clean = prepare(place, audited, audited.real, audited.synthetic, "it was not checked")
    wrong = [PromptAccuracy("a", 0, 60, 0.9, 0.1)]
    written = write_set(clean, read_flagged(audited), wrong)
    assert "2 pictures less 2 flagged as near-duplicates; labels: mostly wrong for a, so do not train" in written
    assert read_set(place).table["image_id"].to_pylist() == ["synthetic-0002", "synthetic-0003"]
    taken = [json.loads(line) for line in place.get("quarantined.jsonl").splitlines()]
    assert [sorted(row) for row in taken] == [["finding", "image_id", "score_details", "score_key_points"]] * 2
    card = place.get("README.md").decode()
    assert f"Flagged by the audit {audited.digest[:12]}" in card and "by key points" in card
    assert "Labels: mostly wrong for a, so" in card and "- Asked for a, 0 of 60 pictures show it" in card
    assert "| a | 1 |" in card and "may show several" not in card
    assert "It was not checked." in card and "Unaudited: nothing here" in card and "real-000" not in card


def test_a_picture_of_two_findings_counts_for_both_on_the_card(audited, stored_set, tmp_path: Path):
    from cxr.evaluate.quarantine import prepare, write_set

    labels = [Labels(("edema", "mass"), ()), Labels(("mass",), ("edema",)), Labels((), None)]
    pixels = np.random.default_rng(1).integers(0, 255, (3, 16, 16), dtype=np.uint8)
    several = stored_set("several", pixels, **label_columns(labels, ("edema", "mass")))
    place, none = open_store(str(tmp_path / "clean")), pa.table({"image_id": pa.array([], pa.string())})
    write_set(prepare(place, audited, audited.real, several, "it was not checked"), none, [])
    card = place.get("README.md").decode()
    assert "| No_Finding | 1 |\n| edema | 1 |\n| mass | 2 |\n" in card and "a picture may show several." in card


def test_why_no_picture_can_be_flagged(stored_set):
    from cxr.audit.config import AuditConfig
    from cxr.audit.finish import why_unflagged

    pixels = np.random.default_rng(0).integers(0, 255, (120, 16, 16), dtype=np.uint8)
    parts, patients = ["train"] * 20 + ["test"] * 100, [f"p{row}" for row in range(120)]
    enough = stored_set("enough", pixels, patient_id=patients, split=parts)
    some = stored_set("some", pixels, patient_id=[*patients[:-2], None, None], split=parts)
    nameless = stored_set("nameless", pixels, patient_id=[None] * 120, split=parts)
    assert why_unflagged(enough, AuditConfig()) == ""
    assert why_unflagged(some, AuditConfig()).startswith("98 test pictures are too few")
    assert why_unflagged(nameless, AuditConfig()).startswith("the real set names no patients")


def test_the_pages_first_line_says_how_many_tests_were_not_made():
    from cxr.audit.page import page
    from cxr.audit.results import AttackResult, Audit

    made = AttackResult(
        "near-duplicates", ("singling out",), "no leak found at this power", "", "Is it?", "no", "p", "n"
    )
    others = [AttackResult(name, ("inference",), "not tested", "no model was given", "Is it?") for name in "ab"]
    parts = {"train": 3, "validation": 2, "test": 1}
    some, all_made = (page(Audit("r", "s", 4, parts, [made, *more], [], [])).decode() for more in (others, []))
    assert "No leak found at this power; 2 of 3 tests could not be made." in some
    assert "No leak found at this power." in all_made and "could not be made." not in all_made.split("<ul>")[0]
