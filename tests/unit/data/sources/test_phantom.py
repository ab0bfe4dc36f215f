"""Computer-drawn X-rays as a source."""

import pickle

import numpy as np
import pytest

from cxr.data.sources.phantom import phantom_rows
from cxr.data.sources.row import SourceOptions
from cxr.embedded.phantoms import draw_phantom
from cxr.errors import BadInput
from cxr.prompts.findings import FINDINGS


def test_rows_tell_what_is_drawn():
    rows = list(phantom_rows("20,7", SourceOptions(size=64)))
    assert sorted(row.finding for row in rows) == sorted(FINDINGS * 2)
    assert len({row.name for row in rows}) == 20 and len({row.patient_id for row in rows}) == 7
    for number in (0, 13):
        row, drawn = pickle.loads(pickle.dumps(rows[number])), draw_phantom(7, number, size=64)
        np.testing.assert_array_equal(row.load(), drawn.pixels)
        assert (row.finding, row.view) == (drawn.attributes.finding, drawn.attributes.view)
        assert (row.patient_id, row.sex, row.age) == (drawn.patient.patient_id, drawn.patient.sex, drawn.patient.age)
    assert all(row.text and "computer-drawn" in row.source and row.licence == "Apache-2.0" for row in rows)


def test_the_seed_is_the_places_or_the_options():
    def texts(place: str, seed: int) -> list[str | None]:
        return [row.text for row in phantom_rows(place, SourceOptions(seed=seed))]

    assert texts("10,7", 0) == texts("10", 7) != texts("10", 0)


@pytest.mark.parametrize("place", ["0", "-3", "many", "10,", "10,x", "99999999", "1e3"])
def test_not_a_number_of_pictures(place: str):
    with pytest.raises(BadInput, match="give a number from 1"):
        next(phantom_rows(place, SourceOptions()))
