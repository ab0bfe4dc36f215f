"""What is left of a night, and what a second run finds of it."""

import json

import pytest

from cxr.artifact import verify
from cxr.data.lineage import PHANTOM, PHANTOM_NOTICE
from cxr.errors import BadInput
from cxr.nightly import report
from cxr.nightly.config import identity
from cxr.nightly.pointer import Pointer
from cxr.store import Store
from tests.unit.nightly.conftest import CONFIG, judged, metrics

NIGHT = "2026-11-02"


def finished(store: Store, **changes) -> report.Report:
    night = report.begin(store, CONFIG, NIGHT, "d" * 64, "m" * 64)
    found = judged(NIGHT, **changes)
    night.make(lambda: report.complete(night, found, {"total": 1.0}))
    return found


def test_a_night_is_an_artifact_that_verifies(store: Store) -> None:
    found = finished(store)
    place = report.report_store(store, NIGHT)
    assert verify(place).clean
    assert report.Report.model_validate_json(place.get("report.json")) == found
    record = json.loads(place.get("record.json"))
    assert record["metrics"] == {"passed": True, "verdict": f"night {NIGHT} passed its gate, unaudited"}
    assert record["inputs"] == {"data": "d" * 64, "model": "m" * 64}


def test_a_night_that_was_begun_goes_on_with_its_data_and_model(store: Store) -> None:
    assert report.read_pinned_inputs(store, NIGHT) is None
    report.begin(store, CONFIG, NIGHT, "d" * 64, "m" * 64)
    assert report.read_pinned_inputs(store, NIGHT) == {"data": "d" * 64, "model": "m" * 64}
    assert report.read_finished_night(store, CONFIG, NIGHT) is None


def test_a_finished_night_is_found_and_another_recipe_refused(store: Store) -> None:
    finished(store)
    assert report.read_finished_night(store, CONFIG, NIGHT).metrics["passed"]
    elsewhere = CONFIG.model_copy(update={"source": "phantom:900"})  # grown meanwhile: the same recipe
    assert report.read_finished_night(store, elsewhere, NIGHT).metrics["passed"]
    other = CONFIG.model_copy(update={"generate": "tiny --steps 5"})
    with pytest.raises(BadInput, match="generate"):
        report.read_finished_night(store, other, NIGHT)
    with pytest.raises(BadInput, match="generate"):
        report.begin(store, other, NIGHT, "d" * 64, "m" * 64)


def test_the_page_tells_every_check_and_links_to_what_lies_around_it(store: Store) -> None:
    last = Pointer(night="2026-11-01", metrics=metrics())
    text = report.render_page(judged(NIGHT, last, worst_accuracy=0.5))
    assert "lower 95 % bound, is 0.5, at least 0.6 is allowed" in text
    assert "Last night is 2026-11-01" in text and "at most 1.25" in text
    assert 'href="../evaluation/index.html"' in text and 'href="../../../trend/index.html"' in text
    assert "there is none to compare with" in report.render_page(judged(NIGHT))


def test_a_night_with_an_audit_links_to_it_and_one_without_is_called_unaudited() -> None:
    audited = report.render_page(judged(NIGHT, audit="no leak found at this power", leaks=0))
    assert 'href="../audit/index.html"' in audited and "no leak found at this power" in audited
    assert "naudited" not in audited
    plain = report.render_page(judged(NIGHT))
    assert "passed its gate, unaudited." in plain and "Unaudited: nothing here" in plain and "../audit/" not in plain


def test_a_night_without_an_audit_is_of_the_recipe_that_it_was_of_before_there_were_audits() -> None:
    audited = CONFIG.model_copy(update={"audit": "tiny"})
    plain, other = (identity(config, NIGHT, "d", "m") for config in (CONFIG, audited))
    assert "audit" not in plain and other == plain | {"audit": "tiny"}


def test_a_night_of_phantoms_says_so() -> None:
    assert PHANTOM_NOTICE in report.render_page(judged(NIGHT, sources=("folder", PHANTOM)))
    assert PHANTOM_NOTICE not in report.render_page(judged(NIGHT, sources=("folder",)))
