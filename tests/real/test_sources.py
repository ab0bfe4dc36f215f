"""Real data through the sources: nothing is lost, patients and findings are as the publishers have them."""

import re
from collections import Counter
from pathlib import Path

import pytest

from cxr.data.sources import SOURCES, SourceOptions, SourceRow, openi_reports

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def rows(kind: str, *place: str) -> list[SourceRow]:
    path = DATA.joinpath(*place)
    if not path.exists():
        pytest.skip(f"no real data at {path}")
    return list(SOURCES[kind](str(path), SourceOptions(notes=lambda line: None)))


def test_nih():
    found = rows("table", "nih-cxr", "manifest.csv")
    assert Counter(row.finding for row in found) == {"normal": 375, "pneumonia": 398}
    assert len({row.patient_id for row in found}) == 531 and Counter(row.view for row in found) == {
        "AP": 425,
        "PA": 348,
    }
    assert all(row.sex in ("F", "M") and row.age is not None for row in found)
    assert all(row.load()[:2] == b"\xff\xd8" for row in found[::50])


def test_nih_as_a_folder():
    found = rows("folder", "nih-cxr")
    assert Counter(row.finding for row in found) == {"normal": 375, "pneumonia": 398}


def test_clinical_notes():
    found = rows("table", "clinical-notes", "manifest.csv")
    assert len(found) == 201 and sum(row.text is not None for row in found) == 134
    assert Counter(row.finding for row in found) == {"normal": 4, "pneumonia": 197}
    assert not any(re.search(r"X{2,}|_{2,}", row.text or "") for row in found)


def test_openi_reports():
    path = DATA / "openi-reports" / "NLMCXR_reports.tgz"
    if not path.exists():
        pytest.skip(f"no real data at {path}")
    found = list(openi_reports(path))
    assert len({report.uid for report in found}) == len(found) == 3955
    counts = Counter(name for report in found for name in report.labels.present)
    healthy = [report for report in found if report.labels.known and not report.labels.present]
    assert len(healthy) == 1391 and counts["Cardiomegaly"] == 375 and counts["Pleural effusion"] == 161
    assert sum(not report.labels.known for report in found) == 95
    assert sum(len(report.images) for report in found) == 7470
    assert not any(re.search(r"X{2,}|_{2,}", report.text or "") for report in found)
    assert sum(report.text is None for report in found) < 40


def test_pneumoniamnist():
    found = rows("npz", "pneumoniamnist", "pneumoniamnist.npz")
    assert Counter(row.split for row in found) == {"train": 4708, "validation": 524, "test": 624}
    assert Counter(row.finding for row in found if row.split == "test") == {"normal": 234, "pneumonia": 390}
    assert {row.load().shape for row in found[::500]} == {(28, 28)}


def test_mnist():
    found = rows("idx", "mnist")
    assert Counter(row.split for row in found) == {"train": 60_000, "test": 10_000}
    assert [row.finding for row in found[:5]] == ["digit_5", "digit_0", "digit_4", "digit_1", "digit_9"]
    assert found[0].load().shape == (28, 28) and len({row.finding for row in found}) == 10
