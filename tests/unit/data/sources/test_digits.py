"""scikit-learn's digits as a source."""

import pickle
from collections import Counter

import numpy as np
import pytest

from cxr.data.images import read_gray
from cxr.data.sources import is_source_name
from cxr.data.sources.digits import digits_rows
from cxr.data.sources.row import SourceOptions
from cxr.errors import BadInput


def test_all_digits_come_through_the_door():
    rows = list(digits_rows("1797", SourceOptions()))
    assert Counter(row.finding for row in rows)["digit_3"] == 183 and len({row.name for row in rows}) == 1797
    pixels = read_gray(pickle.loads(pickle.dumps(rows[0])).load())
    assert pixels.shape == (28, 28) and rows[0].finding == "digit_0"
    assert pixels[14, 14] < 60 < 120 < pixels[14].max()  # a nought is dark inside
    np.testing.assert_array_equal(pixels, rows[0].load())


def test_the_first_few():
    assert [row.finding for row in digits_rows("3", SourceOptions())] == ["digit_0", "digit_1", "digit_2"]


@pytest.mark.parametrize("place", ["0", "1798", "-1", "all"])
def test_not_a_number_of_digits(place: str):
    with pytest.raises(BadInput, match="give a number from 1 to 1,797"):
        next(digits_rows(place, SourceOptions()))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("digits", True), ("digits:50", True), ("idx:x", True), ("idx", False), ("out/set", False), ("s3://b/c", False)],
)
def test_sources_are_told_from_sets(text: str, is_one: bool):
    assert is_source_name(text) == is_one
