"""What is odd about a source's rows and pictures: noted, or refused before a set is made of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.data.sources import SourceRow
from cxr.data.splits import require_official_split, require_patients
from cxr.errors import BadInput
from cxr.ingest.config import IngestConfig

MANY_PICTURES, MANY_SHARE = 10, 0.25  # of one patient, that a user gets a note of
MASK = "black and white only, as a mask is and no X-ray"
MASK_SIDE, MASK_SHARE, MASK_EDGE = 64, 0.995, 8  # pixels; of the pixels; gray levels from black and white


@dataclass
class LabelledRows:
    """The rows that have a finding; counts the others."""

    rows: Iterable[SourceRow]
    left_out: int = 0

    def __iter__(self) -> Iterator[SourceRow]:
        for row in self.rows:
            if not row.labels.known:
                self.left_out += 1
            else:
                yield row

    def lines(self, kept: int) -> Iterator[str]:
        if self.left_out:
            yield f"{self.left_out:,} of {kept + self.left_out:,} pictures have no label and are left out"


def require_one_finding(row: SourceRow) -> None:
    """`BadInput` if a picture shows several of findings that exclude each other, or none of them."""
    present = row.labels.present
    if row.exclusive and len(present) != 1:
        shown = " and ".join(map(repr, present)) or "none of its findings"
        raise BadInput(
            f"--source: {row.name!r} shows {shown}, where each picture shows one finding and no other; correct its "
            "label, or give the findings as columns or lists of a table, which may show several"
        )


def refuse_repeated_names(names: pa.ChunkedArray) -> None:
    counts = pc.value_counts(names)
    if len(counts) < len(names):
        name = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        raise BadInput(f"--source: {name.as_py()!r} is there twice; give each picture a name of its own")


def describe_odd_names(findings: Iterable[str]) -> Iterator[str]:
    spellings: dict[str, list[str]] = {}
    for finding in sorted(findings):
        spellings.setdefault(finding.casefold(), []).append(finding)
    for first, *others in spellings.values():
        if others:
            yield f"findings {first!r} and {others[0]!r} differ in upper and lower case only; they become two classes"


def describe_odd_patients(patient_ids: pa.ChunkedArray) -> Iterator[str]:
    """A line on an id that so many pictures have that it may stand for nobody."""
    counts, total = pc.value_counts(patient_ids.drop_null()), len(patient_ids)
    if not len(counts):
        return
    most = counts[pc.index(counts.field("counts"), pc.max(counts.field("counts"))).as_py()].as_py()
    patient, count = most["values"], most["counts"]
    if count >= MANY_PICTURES and count > MANY_SHARE * total:
        yield (
            f"{count:,} of {total:,} pictures name one patient, {patient!r}, and stay on one side of the split; if the "
            "id stands for nobody, empty it or give --ignore-patients"
        )


def check_splits(config: IngestConfig, plan: pa.Table, exclusive: bool) -> None:
    """`BadInput` if the set cannot be split as asked, as far as can be seen before its pictures are."""
    findings, patients, splits = (plan[name].to_pylist() for name in ("present", "patient_id", "split"))
    if config.split == "official":
        require_official_split(splits)
    elif len(patients) > 1 and len(set(patients)) == 1 and patients[0] is not None:
        raise BadInput(
            f"--source: all {len(patients):,} pictures name the same patient, as anonymisers write one id for "
            "everybody; a split by patient needs ids that tell patients apart: give these, or split by picture with "
            "--ignore-patients (one patient may then be on both sides)"
        )
    else:
        require_patients(findings, patients, exclusive)


def is_mask(pixels: np.ndarray) -> bool:
    """Whether a picture uint8 [H, W] is black and white, but for what compression adds at the edges of shapes.

    Every sixteenth pixel is looked at first. Small pictures are none: handwritten digits are nearly black and white.
    """
    if min(pixels.shape) < MASK_SIDE or not _is_two_tone(pixels[::4, ::4]):
        return False
    return _is_two_tone(pixels)


def _is_two_tone(pixels: np.ndarray) -> bool:
    return float(np.mean((pixels <= MASK_EDGE) | (pixels >= 255 - MASK_EDGE))) >= MASK_SHARE
