"""Boxes follow their picture into the square that is stored."""

import numpy as np
import pytest

from cxr.data.boxes import BOXES, Box, boxes_table
from cxr.data.images import fit_square


@pytest.mark.parametrize("shape", [(300, 200), (120, 400), (64, 64)])
@pytest.mark.parametrize("aspect", ["keep", "square"])
def test_a_box_lies_where_its_pixels_lie(shape: tuple[int, int], aspect: str):
    picture = np.zeros(shape, np.uint8)
    picture[20:60, 10:50] = 255
    stored = fit_square(picture, 128, aspect) > 127
    down, across = np.nonzero(stored)
    found = Box("mass", 10, 20, 40, 40).fit(shape, 128, aspect)
    assert (found.x, found.y) == pytest.approx((across.min(), down.min()), abs=1.1)
    assert (found.x + found.width, found.y + found.height) == pytest.approx((across.max() + 1, down.max() + 1), abs=1.1)


def test_coordinates_of_the_published_size_fit_a_smaller_copy():
    assert Box("mass", 256, 512, 128, 64, side=1024).fit((224, 224), 512, "keep") == Box("mass", 128, 256, 64, 32)


def test_the_table_names_picture_finding_and_reader():
    table = boxes_table([("a", Box("mass", 1, 2, 3, 4, "R8"))])
    assert table.schema == BOXES and table.to_pylist() == [
        {"image_id": "a", "finding": "mass", "x": 1, "y": 2, "width": 3, "height": 4, "reader": "R8"}
    ]
