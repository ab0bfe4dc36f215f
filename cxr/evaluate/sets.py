"""The two sets side by side: what can be compared, and their pictures where they are asked for."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr.data.catalog import CatalogSet, read_images, read_unscaled
from cxr.errors import BadInput
from cxr.evaluate.config import ALL, HELD_OUT, PARTS, EvaluateConfig


@dataclass(frozen=True)
class ImageSet:
    """A set: columns of one value a picture, and what reads the pictures themselves."""

    ids: np.ndarray  # str [N]
    findings: np.ndarray  # str [N]
    patients: np.ndarray  # str [N]; where none is known, the picture's own id
    splits: np.ndarray  # str [N], empty where there is none
    read: Callable[[np.ndarray], np.ndarray]  # of rows, int [n], the pixels, uint8 [n, H, W]

    def part(self, *names: str) -> np.ndarray:
        """Rows of these parts of the split, int."""
        return np.flatnonzero(np.isin(self.splits, names))

    def select(self, rows: np.ndarray) -> "ImageSet":
        """These rows only."""
        ids, findings, patients, splits = (x[rows] for x in (self.ids, self.findings, self.patients, self.splits))
        return ImageSet(ids, findings, patients, splits, lambda chosen: self.read(rows[chosen]))


def rows_of(splits: np.ndarray, against: str) -> np.ndarray:
    """Rows of the part of a real set that the synthetic one is compared with, int."""
    return np.arange(len(splits)) if against == ALL else np.flatnonzero(np.isin(splits, PARTS[against]))


def comparable_findings(
    real: CatalogSet, synthetic: CatalogSet, config: EvaluateConfig
) -> tuple[tuple[str, ...], list[str]]:
    """The findings that both sets show often enough, and a line on each that is left out. Reads no picture.

    Raises:
        BadInput: there is none, or the real set has no train part, among which near-copies are looked for, or both sets
            are the same.
    """
    if real.digest == synthetic.digest:
        raise BadInput(f"--synthetic {synthetic.store.uri}: is the same set as --real; give the set to measure")
    splits = Counter(real.table["split"].to_pylist())
    if not splits["train"]:
        raise BadInput(f"--real {real.store.uri}: no picture is in a train part; give a set that jobs/ingest.py made")
    if config.against in ("train", "test") and not splits[config.against]:
        raise BadInput(f"--real {real.store.uri}: has no {config.against} part; give another --against")
    against = compared_with(real, synthetic, config)
    patients, shown = patients_of(real, against), count_findings(synthetic)
    common = sorted(set(patients) & set(shown))
    if not common:
        raise BadInput(
            f"no finding is in both sets: --real has {', '.join(sorted(patients))}; --synthetic has "
            f"{', '.join(sorted(shown))}"
        )
    kept = tuple(name for name in common if min(patients[name], shown[name]) >= config.min_samples)
    held_out = "" if against == ALL else f"{against} "
    left_out = [
        f"{name} is left out: {patients[name]} real {held_out}patients, {shown[name]} synthetic pictures; "
        f"{config.min_samples} needed"
        for name in [*common, *sorted(set(patients) ^ set(shown))]
        if name not in kept
    ]
    if not kept:
        raise BadInput(f"too few pictures: {left_out[0]}; give more, or a smaller --min-samples")
    return kept, left_out


def compared_with(real: CatalogSet, synthetic: CatalogSet, config: EvaluateConfig) -> str:
    """The part of the real set to compare with: what was asked for, but the whole set where that is the
    held-out part and it shows no finding often enough."""
    shown = count_findings(synthetic)
    held_out = patients_of(real, HELD_OUT)
    enough = any(min(held_out[name], shown[name]) >= config.min_samples for name in shown)
    return ALL if config.against == HELD_OUT and not enough else config.against


def describe_part(real: CatalogSet, against: str, config: EvaluateConfig) -> list[str]:
    """A line where metrics compare with another part than was asked for, or with training pictures."""
    if against == config.against and against in (HELD_OUT, "test"):
        return []
    patients = sum(patients_of(real, HELD_OUT).values())
    why = f"the real set shows no finding of {config.min_samples} held-out patients, " if patients else ""
    why = why or "the real set has no validation or test part, "
    why = why if against != config.against else ""
    which = "and training pictures are among them" if against == ALL else "which are training pictures"
    return [f"{why}so distances are to {against} real pictures, {which}: near-copies of these improve them"]


def count_findings(synthetic: CatalogSet) -> Counter[str]:
    return Counter(synthetic.table["finding"].to_pylist())


def describe_sizes(real: CatalogSet, synthetic: CatalogSet) -> list[str]:
    """A line where the first pictures of the sets differ in size: what scaling does is then part of every distance."""
    ours, theirs = (read_unscaled(found.store, found.table.slice(0, 1)).shape[1:] for found in (real, synthetic))
    line = "the real set's pictures have {1} x {0} pixels, the synthetic set's {3} x {2}: distances are of that too"
    return [] if ours == theirs else [line.format(*ours, *theirs)]


def patients_of(real: CatalogSet, against: str) -> Counter[str]:
    """Of each finding the number of patients (of pictures where none is named) in a part of the split."""
    columns = (real.table[name].to_pylist() for name in ("finding", "patient_id", "image_id", "split"))
    rows = zip(*columns, strict=True)
    known = {
        (finding, patient or image)
        for finding, patient, image, part in rows
        if against == ALL or part in PARTS[against]
    }
    return Counter(finding for finding, _ in known)


def open_images(found: CatalogSet, size: int) -> ImageSet:
    """A set whose pictures are read from its store whenever they are asked for, `size` pixels a side. No picture is
    kept in memory; reading raises as `read_images`."""

    def column(name: str) -> Sequence[str | None]:
        return found.table[name].to_pylist()

    def read(rows: np.ndarray) -> np.ndarray:
        different, places = np.unique(rows, return_inverse=True)
        return read_images(found.store, found.table.take(different), size)[places]

    ids = column("image_id")
    patients = [patient or image for patient, image in zip(column("patient_id"), ids, strict=True)]
    splits = [part or "" for part in column("split")]
    return ImageSet(np.array(ids), np.array(column("finding")), np.array(patients), np.array(splits), read)


def load_images(found: CatalogSet, size: int, advance: Callable[[int], object]) -> ImageSet:
    """The same with every picture in memory, `size`^2 bytes each. Raises as `read_images`."""
    pixels = read_images(found.store, found.table, size, advance)
    return replace(open_images(found, size), read=pixels.__getitem__)
