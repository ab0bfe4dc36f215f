"""The real pictures in memory, from a source or from an ingested set: 784 bytes each."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr.data.catalog import CatalogSet, pictures
from cxr.data.images import Rejected, fit, read_gray
from cxr.data.sources import SourceRow
from cxr.data.splits import PARTS, assign
from cxr.errors import BadInput
from cxr.gan.networks import SIZE

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
    seen: list[str] | None = None  # sha256 of the patients (of the pictures where none is known) that a set's GAN sees

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and labels of a part."""
        rows = self.splits == name
        return self.pixels[rows], self.labels[rows]


def from_source(rows: Iterable[SourceRow], seed: int, note: Callable[[str], None]) -> Real:
    """Pictures straight from a source, each through the one door for pixels.

    Raises:
        BadInput: the source cannot be used, or has no two findings.
    """
    kept, pixels, whole, refused = [], [], hashlib.sha256(), 0
    for row in rows:
        try:
            picture = fit(read_gray(row.load()), SIZE, "keep")
        except Rejected:
            refused += 1
            continue
        kept.append(row)
        pixels.append(picture)
        whole.update(f"{row.name}\n{row.finding}\n{row.split}\n".encode() + picture.tobytes())
    if refused:
        note(f"{refused} of {refused + len(kept)} pictures cannot be used and are left out")
    splits, names = [row.split for row in kept], [row.name for row in kept]
    told = [(row.source, row.licence) for row in kept]
    return assembled(np.array(pixels), [row.finding for row in kept], splits, names, whole.hexdigest(), told, seed)


def from_set(found: CatalogSet, seed: int, advance: Callable[[int], object]) -> Real:
    """The pictures of a finished set, with its split. Raises as `from_source`, and as `catalog.pictures`."""
    columns = {name: found.table[name].to_pylist() for name in found.table.column_names}
    pixels = pictures(found.store, found.table, SIZE, advance)
    told = list(zip(columns["source"], columns["licence"], strict=True))
    splits, names = columns["split"], columns["image_id"]
    real = assembled(pixels, columns["finding"], splits, names, found.digest, told, seed)
    patients = [patient or name for patient, name in zip(columns["patient_id"], names, strict=True)]
    seen = {patient for patient, part in zip(patients, real.splits, strict=True) if part != "test"}
    return replace(real, seen=sorted(hashlib.sha256(patient.encode()).hexdigest() for patient in seen))


def assembled(
    pixels: np.ndarray, findings: Sequence[str], splits: Sequence[str | None], names: Sequence[str], digest: str,
    told: Sequence[tuple[str | None, str | None]], seed: int,
) -> Real:  # fmt: skip
    classes = tuple(sorted(set(findings)))
    if len(classes) < 2:
        raise BadInput(f"--data: holds pictures of {len(classes)} findings; give two at least")
    sources, licences = (
        ", ".join(sorted({each or "unstated" for each in column})) for column in zip(*told, strict=True)
    )
    labels = np.searchsorted(classes, findings).astype(np.int64)
    return Real(pixels, labels, divided(findings, splits, names, seed), classes, digest, sources, licences)


def divided(findings: Sequence[str], splits: Sequence[str | None], names: Sequence[str], seed: int) -> np.ndarray:
    """The publisher's split where it has a train and a test part, else ours, by picture; str [N].

    A validation part that is missing is taken from the train part.
    """
    if not {"train", "test"} <= set(splits) <= set(PARTS):
        return np.array(assign(findings, names, folds=0, seed=seed).split)
    parts = np.array(splits)
    if "validation" not in splits:
        train = np.flatnonzero(parts == "train")
        held = [[column[row] for row in train] for column in (findings, names)]
        parts = parts.astype("<U10")
        parts[train] = assign(*held, fractions=(1 - CHOSEN, CHOSEN, 0), folds=0, seed=seed).split
    return parts
