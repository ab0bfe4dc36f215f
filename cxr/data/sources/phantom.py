"""Computer-drawn X-rays, of no patient, with recorded findings, text, view, sex and age."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cxr.data.labels import Labels
from cxr.data.lineage import PHANTOM
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput
from cxr.prompts.findings import FINDINGS, SEVERAL, parse_findings

if TYPE_CHECKING:
    from cxr.embedded.phantoms import Series

TEXT_STREAM = 4  # last number of a seed; cxr.embedded.phantoms has 1 to 3
MAX_COUNT = 10_000_000
MAX_SIZE = 512  # pixels a phantom can be drawn at
SHARE = 0.5  # of the pictures that show a pattern, where none is given


def phantom_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """`place` is N, N,seed or N,seed,findings: the first N pictures of a series, three views a patient.

    All ten findings are alike often, or those named with + between them. `several` in their place gives pictures that
    show each of three patterns or not, independently, in half of the pictures each; `several:cardiomegaly+mass=0.1`
    names the patterns, and the share of pictures if it is not a half.

    Raises:
        BadInput: not such a place.
    """
    from cxr.embedded.phantoms import check_series, sample_visit
    from cxr.prompts.templates import describe_attributes

    count, seed, findings = _parse_place(place, options.seed)
    check_series(findings)
    exclusive = not isinstance(findings, Mapping)
    for number in range(count):
        patient, attributes, _ = sample_visit(seed, number, findings)
        absent = None if exclusive else tuple(name for name in findings if name not in attributes.findings)
        yield SourceRow(
            name=f"phantom-{seed}/{number:07d}",
            load=partial(_draw_pixels, seed, number, findings, min(options.size, MAX_SIZE)),
            labels=Labels(attributes.findings, absent),
            exclusive=exclusive,
            text=describe_attributes(attributes, np.random.default_rng([seed, number, TEXT_STREAM])),
            patient_id=patient.patient_id,
            view=attributes.view,
            sex=patient.sex,
            age=patient.age,
            source=PHANTOM,
            licence="Apache-2.0",
        )


def _parse_place(place: str, seed: int) -> "tuple[int, int, Series]":
    found = re.fullmatch(r"([0-9]{1,8})(?:,([0-9]{1,18})(?:,(.+))?)?", place.strip())
    if not found or not 1 <= int(found[1]) <= MAX_COUNT:
        raise BadInput(
            f"phantom:{place[:60]}: give a number from 1 to {MAX_COUNT:,}, a seed and findings if you like: "
            "phantom:200,7,normal+pneumonia"
        )
    return int(found[1]), int(found[2] or seed), _parse_series(found[3])


def _parse_series(text: str | None) -> "Series":
    if text is None:
        return FINDINGS
    word, colon, names = text.partition(":")
    if word != "several":
        return parse_findings(text.replace("+", ","))
    shares: dict[str, float] = {}
    for entry in names.split("+") if colon else SEVERAL:
        name, given, share = (part.strip() for part in entry.partition("="))
        if name in shares:
            raise BadInput(f"phantom: {name[:60]!r} stands twice after several:; name each pattern once")
        if given and not re.fullmatch(r"0?\.[0-9]{1,6}", share):
            raise BadInput(
                f"phantom: {entry.strip()[:60]!r}: the share of pictures that show it is a number between 0 and 1; "
                "write several:effusion=0.2"
            )
        shares[name] = float(share) if given else SHARE
    return shares


def _draw_pixels(seed: int, number: int, findings: "Series", size: int) -> np.ndarray:
    from cxr.embedded.phantoms import draw_phantom

    return draw_phantom(seed, number, findings, size).pixels
