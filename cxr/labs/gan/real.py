"""The real pictures in memory, from a source or from an ingested set: 784 bytes each."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cxr.data.catalog import CatalogSet, read_images
from cxr.data.images import RejectedImage, fit_square, read_gray
from cxr.data.lineage import Lineage, hashed_id, name_sources, pseudonymise
from cxr.data.lineage_key import owner_key
from cxr.data.sources import SourceRow
from cxr.data.splits import PARTS, split_by_group
from cxr.errors import BadInput
from cxr.labs.gan.config import SIZE

DESCRIBED = ("finding", "split", "source", "licence")
CHOSEN = 0.1  # share of a train part without a validation part beside it that becomes one


@dataclass(frozen=True)
class Real:
    """Real pictures of all parts of the split."""

    pixels: np.ndarray  # uint8 [N, 28, 28]
    labels: np.ndarray  # int64 [N], numbers of `classes`
    splits: np.ndarray  # str [N]: train, validation or test
    classes: tuple[str, ...]  # the findings, sorted
    digest: str
    source: str  # in words
    licence: str
    sources: list[str]  # as `lineage.name_sources`
    lineage: Lineage = None  # whom a set's GAN sees; not known of a source

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and labels of a part."""
        rows = self.splits == name
        return self.pixels[rows], self.labels[rows]

    @property
    def counts(self) -> np.ndarray:
        """Pictures of each class in the train part, int [C]."""
        return np.bincount(self.part("train")[1], minlength=len(self.classes))


def from_source(rows: Iterable[SourceRow], seed: int, note: Callable[[str], None]) -> Real:
    """Pictures straight from a source, each through the image loader.

    Raises:
        BadInput: the source or none of its pictures can be used, or it has no two findings.
    """
    kept, pixels, whole = [], [], hashlib.sha256()
    reasons: Counter[str] = Counter()
    for row in rows:
        if not row.exclusive:
            raise several_findings()
        try:
            picture = fit_square(read_gray(row.load()), SIZE, "keep")
        except RejectedImage as rejected:
            reasons[str(rejected)] += 1
            continue
        kept.append(row)
        pixels.append(picture)
        whole.update(f"{row.name}\n{row.finding}\n{row.split}\n".encode() + picture.tobytes())
    refused = reasons.total()
    if refused and not kept:
        raise BadInput(f"--data: none of {refused} pictures can be used: {reasons.most_common(1)[0][0]}")
    if refused:
        note(f"{refused} of {refused + len(kept)} pictures cannot be used and are left out")
    columns = {name: [getattr(row, name) for row in kept] for name in DESCRIBED}
    columns["patient"] = [row.patient_id or row.name for row in kept]
    return build_real(np.array(pixels), columns, whole.hexdigest(), seed)


def from_set(found: CatalogSet, seed: int, advance: Callable[[int], object]) -> Real:
    """The pictures of a finished set, with its split. Raises as `from_source`, `read_images` and `owner_key`."""
    if not found.vocabulary.exclusive:
        raise several_findings()
    columns = {name: found.table[name].to_pylist() for name in ("image_id", "patient_id", *DESCRIBED)}
    columns["patient"] = [p or name for p, name in zip(columns["patient_id"], columns["image_id"], strict=True)]
    real = build_real(read_images(found.store, found.table, SIZE, advance), columns, found.digest, seed)
    who = zip(columns["patient_id"], columns["image_id"], real.splits, strict=True)
    plain = (hashed_id(patient, image) for patient, image, part in who if part != "test")
    return replace(real, lineage=(pseudonymise(plain, owner_key()),), sources=found.sources)


def several_findings() -> BadInput:
    return BadInput(
        "--data: its pictures can show several findings, and this GAN draws one of some classes; give pictures whose "
        "findings exclude each other, a folder for each"
    )


def build_real(pixels: np.ndarray, columns: Mapping[str, Sequence[Any]], digest: str, seed: int) -> Real:
    """Of `DESCRIBED` and `patient`, one value a picture: words, or of all but finding and patient None."""
    findings: Sequence[str] = columns["finding"]
    classes = tuple(sorted(set(findings)))
    if len(classes) < 2:
        raise BadInput(f"--data: holds pictures of {len(classes)} findings; give two at least")
    labels = np.searchsorted(classes, findings).astype(np.int64)
    splits = choose_splits(findings, columns["split"], columns["patient"], seed)
    source, licence = (", ".join(sorted({e or "unstated" for e in columns[name]})) for name in ("source", "licence"))
    return Real(pixels, labels, splits, classes, digest, source, licence, name_sources(columns["source"]))


def choose_splits(
    findings: Sequence[str], splits: Sequence[str | None], patients: Sequence[str], seed: int
) -> np.ndarray:
    """The publisher's split where it has a train and a test part, else ours, by patient; str [N].

    A validation part that is missing is taken from the train part.
    """
    if not {"train", "test"} <= set(splits) <= set(PARTS):
        return np.array(split_by_group([(name,) for name in findings], patients, folds=0, seed=seed).split)
    parts = np.array(splits)
    if "validation" not in splits:
        train = np.flatnonzero(parts == "train").tolist()
        held, whose = [(findings[row],) for row in train], [patients[row] for row in train]
        parts = parts.astype("<U10")
        parts[train] = split_by_group(held, whose, fractions=(1 - CHOSEN, CHOSEN, 0), folds=0, seed=seed).split
    return parts
