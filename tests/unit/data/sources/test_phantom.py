"""Computer-drawn X-rays as a source."""

import hashlib
import pickle

import numpy as np
import pytest

from cxr.data.sources.phantom import phantom_rows
from cxr.data.sources.row import SourceOptions
from cxr.embedded.phantoms import draw_phantom
from cxr.errors import BadInput
from cxr.prompts.findings import FINDINGS, SEVERAL


def test_rows_tell_what_is_drawn():
    rows = list(phantom_rows("20,7", SourceOptions(size=64)))
    assert sorted(row.finding for row in rows) == sorted(FINDINGS * 2)
    assert len({row.name for row in rows}) == 20 and len({row.patient_id for row in rows}) == 7
    for number in (0, 13):
        row, drawn = pickle.loads(pickle.dumps(rows[number])), draw_phantom(7, number, size=64)
        np.testing.assert_array_equal(row.load(), drawn.pixels)
        assert (row.finding, row.view) == (drawn.attributes.findings[0], drawn.attributes.view)
        assert (row.patient_id, row.sex, row.age) == (drawn.patient.patient_id, drawn.patient.sex, drawn.patient.age)
    assert all(row.text and "computer-drawn" in row.source and row.licence == "Apache-2.0" for row in rows)


def test_the_texts_of_version_0_1_stay():
    texts = "\n".join(str(row.text) for row in phantom_rows("60,7", SourceOptions()))
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == "77928231efeddaac"


def test_the_seed_is_the_places_or_the_options():
    def texts(place: str, seed: int) -> list[str | None]:
        return [row.text for row in phantom_rows(place, SourceOptions(seed=seed))]

    assert texts("10,7", 0) == texts("10", 7) != texts("10", 0)


def test_several_findings_in_a_picture_are_labelled_each():
    rows = list(phantom_rows("60,7,several", SourceOptions(size=64)))
    assert not any(row.exclusive for row in rows)
    assert {row.finding for row in rows} >= {"cardiomegaly+effusion+nodule", "effusion+nodule", "nodule"}
    for row in rows[:20]:
        shown = draw_phantom(7, int(row.name.split("/")[1]), dict.fromkeys(SEVERAL, 0.5), size=64)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(row)).load(), shown.pixels)
        assert row.labels.present == shown.attributes.findings
        assert sorted((*row.labels.present, *(row.labels.absent or ()))) == sorted(SEVERAL)
    folders = {row.labels.folder(SEVERAL) for row in rows}
    assert "No_Finding" in folders and "unlabelled" not in folders


def test_patterns_and_their_shares_can_be_named():
    rows = list(phantom_rows("200,7,several:cardiomegaly=0.1+mass", SourceOptions()))
    present = [sum(name in row.labels.present for row in rows) for name in ("cardiomegaly", "mass")]
    assert present[0] < 35 and 80 < present[1] < 120
    assert {*rows[0].labels.findings} == {"cardiomegaly", "mass"}


@pytest.mark.parametrize(
    ("series", "match"),
    [
        ("several:efusion", "did you mean effusion"),
        ("several:", "no finding is called ''"),
        ("several:nodule+nodule=0.2", "'nodule' stands twice"),
        ("several:nodule=2", "'nodule=2': the share of pictures"),
        ("several:nodule=", "write several:effusion=0.2"),
        ("several:cardiomegaly+globular_heart", "both the heart's shape"),
        ("effusion", "no finding is called 'effusion'"),
    ],
)
def test_patterns_that_cannot_be_drawn_are_one_clear_line(series: str, match: str):
    with pytest.raises(BadInput, match=match) as caught:
        next(phantom_rows(f"20,7,{series}", SourceOptions()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["0", "-3", "many", "10,", "10,x", "99999999", "1e3"])
def test_not_a_number_of_pictures(place: str):
    with pytest.raises(BadInput, match="give a number from 1"):
        next(phantom_rows(place, SourceOptions()))
