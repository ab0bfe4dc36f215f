"""Computer-drawn X-rays, of no patient, with recorded findings, text, view, sex and age."""

import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput

TEXT = 4  # last word of a seed; cxr.data.phantom has 1 to 3
MOST = 10_000_000
LARGEST = 512  # pixels a phantom can be drawn at


def phantom_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """`place` is N or N,seed: the first N pictures of a series, three views a patient, all ten findings alike often.

    Raises:
        BadInput: not such a place.
    """
    from cxr.data.phantom import appointment
    from cxr.data.prompts import describe

    count, seed = _count_and_seed(place, options.seed)
    for number in range(count):
        patient, attributes, _ = appointment(seed, number)
        yield SourceRow(
            name=f"phantom-{seed}/{number:07d}",
            load=partial(_draw, seed, number, min(options.size, LARGEST)),
            finding=attributes.finding,
            text=describe(attributes, np.random.default_rng([seed, number, TEXT])),
            patient_id=patient.patient_id,
            view=attributes.view,
            sex=patient.sex,
            age=patient.age,
            source="phantom (computer-drawn, of no patient)",
            licence="Apache-2.0",
        )


def _count_and_seed(place: str, seed: int) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,8})(?:,([0-9]{1,18}))?", place.strip())
    if not found or not 1 <= int(found[1]) <= MOST:
        raise BadInput(f"phantom:{place[:60]}: give a number from 1 to {MOST:,}, and a seed if you like: phantom:200,7")
    return int(found[1]), int(found[2] or seed)


def _draw(seed: int, number: int, size: int) -> np.ndarray:
    from cxr.data.phantom import phantom

    return phantom(seed, number, size=size).pixels
