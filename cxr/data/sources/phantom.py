"""Computer-drawn X-rays, of no patient, with recorded findings, text, view, sex and age."""

import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from cxr.data.labels import Labels
from cxr.data.lineage import PHANTOM
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput
from cxr.prompts.findings import FINDINGS, parse_findings

TEXT_STREAM = 4  # last number of a seed; cxr.embedded.phantoms has 1 to 3
MAX_COUNT = 10_000_000
MAX_SIZE = 512  # pixels a phantom can be drawn at


def phantom_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """`describe_place` is N, N,seed or N,seed,findings: the first N pictures of a series, three views a patient.

    All ten findings are alike often, or those named with + between them.

    Raises:
        BadInput: not such a place.
    """
    from cxr.embedded.phantoms import sample_visit
    from cxr.prompts.templates import describe_attributes

    count, seed, findings = _parse_place(place, options.seed)
    for number in range(count):
        patient, attributes, _ = sample_visit(seed, number, findings)
        yield SourceRow(
            name=f"phantom-{seed}/{number:07d}",
            load=partial(_draw_pixels, seed, number, findings, min(options.size, MAX_SIZE)),
            labels=Labels.only(attributes.finding),
            text=describe_attributes(attributes, np.random.default_rng([seed, number, TEXT_STREAM])),
            patient_id=patient.patient_id,
            view=attributes.view,
            sex=patient.sex,
            age=patient.age,
            source=PHANTOM,
            licence="Apache-2.0",
        )


def _parse_place(place: str, seed: int) -> tuple[int, int, tuple[str, ...]]:
    found = re.fullmatch(r"([0-9]{1,8})(?:,([0-9]{1,18})(?:,(.+))?)?", place.strip())
    if not found or not 1 <= int(found[1]) <= MAX_COUNT:
        raise BadInput(
            f"phantom:{place[:60]}: give a number from 1 to {MAX_COUNT:,}, a seed and findings if you like: "
            "phantom:200,7,normal+pneumonia"
        )
    findings = parse_findings(found[3].replace("+", ",")) if found[3] else FINDINGS
    return int(found[1]), int(found[2] or seed), findings


def _draw_pixels(seed: int, number: int, findings: tuple[str, ...], size: int) -> np.ndarray:
    from cxr.embedded.phantoms import draw_phantom

    return draw_phantom(seed, number, findings, size).pixels
