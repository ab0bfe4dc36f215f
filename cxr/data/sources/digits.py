"""Handwritten digits that come with scikit-learn: a set to try things on, without a download."""

import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from cxr.data.images import fit_square
from cxr.data.labels import Labels
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput

COUNT = 1797
SIZE = 28  # px, MNIST's; the originals are 8 x 8, less than the image loader takes


def digits_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """`place` is N: the first N of the test part of the UCI set "Optical Recognition of Handwritten Digits".

    Raises:
        BadInput: not such a number.
    """
    if not re.fullmatch("[0-9]{1,4}", place) or not 1 <= int(place) <= COUNT:
        raise BadInput(f"digits:{place[:60]}: give a number from 1 to {COUNT:,}")
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number in range(int(place)):
        yield SourceRow(
            name=f"digits/{number:04d}",
            load=partial(_enlarge, digits.images[number]),
            labels=Labels.only(f"digit_{digits.target[number]}"),
            source="scikit-learn's digits (UCI, Optical Recognition of Handwritten Digits)",
        )


def _enlarge(levels: np.ndarray) -> np.ndarray:
    """float [8, 8] of 0 to 16 to uint8 [28, 28]."""
    return fit_square(np.rint(levels * (255 / 16)).astype(np.uint8), SIZE, "square")
