"""The real set by its patients, as an audit compares a synthetic set with it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.data.catalog import CatalogSet, read_images, read_unscaled
from cxr.data.lineage import read_lineage
from cxr.errors import BadInput

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class RealPictures:
    """Columns of one value a picture; only pictures whose patient and part of the split are known."""

    ids: np.ndarray  # str [N]
    patients: np.ndarray  # str [N]
    strata: np.ndarray  # str [N], finding and view: the same for all pictures of a patient
    parts: np.ndarray  # str [N]: train, but of patients that the generator was shown; validation; test
    pixels: np.ndarray  # uint8 [N, S, S]

    def rows(self, *parts: str) -> np.ndarray:
        """int, of the pictures in these parts."""
        return np.flatnonzero(np.isin(self.parts, parts))

    def count_patients(self, part: str) -> int:
        return len(np.unique(self.patients[self.rows(part)]))


def check_sets(real: CatalogSet, synthetic: CatalogSet) -> None:
    """`BadInput` where the two cannot belong together."""
    if real.digest == synthetic.digest:
        raise BadInput(f"--synthetic {synthetic.store.uri}: is the same set as --real; give the set to audit")
    if "train" not in real.table["split"].to_pylist():
        raise BadInput(f"--real {real.store.uri}: no picture is in a train part; give a set that cxr ingest made")
    findings = [sorted({*found.table["finding"].to_pylist()}) for found in (real, synthetic)]
    if not {*findings[0]} & {*findings[1]}:
        shown = [", ".join(names[:5]) for names in findings]
        raise BadInput(
            f"no finding is in both sets: --real has {shown[0]}; --synthetic has {shown[1]}; give the set that the "
            "generator was trained on"
        )


def why_untestable(real: CatalogSet) -> str:
    """Why synthetic pictures cannot be compared with training and test patients; empty if they can."""
    known = real.table.filter(pc.is_valid(real.table["patient_id"]))
    if not len(known):
        return "the real set names no patients, so a test picture may show a training patient"
    parts = Counter(known["split"].to_pylist())
    if not parts["test"]:
        return "the real set has no test part, so there is nobody to compare training patients with"
    if not parts["train"]:
        return "no training picture of the real set names its patient"
    return ""


def describe_comparison(real: CatalogSet, synthetic: CatalogSet, shown: np.ndarray | None) -> list[str]:
    """What a reader must know of what is compared, in a line each.

    Args:
        shown: as `load_real`.
    """
    lines = []
    if unknown := real.table["patient_id"].null_count:
        lines.append(f"{unknown:,} of {len(real.table):,} real pictures name no patient and are left out")
    sizes = [read_unscaled(found.store, found.table.slice(0, 1)).shape[1:] for found in (real, synthetic)]
    if sizes[0] != sizes[1]:
        (height, width), (other_height, other_width) = sizes
        lines.append(
            f"real pictures have {width} x {height} pixels, synthetic ones {other_width} x {other_height}: both are "
            "scaled, which makes copies harder to find"
        )
    if shown is None and read_lineage(synthetic.record.metrics) != ():
        lines.append(
            "which training patients the generator was shown is not at hand, so all of them are taken: where it saw "
            "a part only, the tests see less (give --model)"
        )
    if real.record.recipe.get("split") == "official":
        lines.append(
            "the split is the publisher's, and its parts may differ by more than training: the placebo says if so"
        )
    return lines


def load_real(real: CatalogSet, shown: np.ndarray | None, size: int, advance: Callable[[int], object]) -> RealPictures:
    """Reads the pictures, `size`^2 bytes each. Raises as `read_images`.

    Args:
        shown: bool [N], rows of the patients that the generator was trained on or chosen by; None: not known, so that
            all training patients are taken.
    """
    known, table = list_real(real, shown)
    return replace(known, pixels=read_images(real.store, table, size, advance))


def list_real(real: CatalogSet, shown: np.ndarray | None) -> tuple[RealPictures, pa.Table]:
    """What `load_real` will read: all but the pixels, of which there are none; and the rows of the catalog."""
    parts = np.array([part or "" for part in real.table["split"].to_pylist()])
    usable = np.isin(parts, PARTS) & real.table["patient_id"].is_valid().to_numpy()
    if shown is not None and (shown & (parts == "train")).any():
        usable &= shown | (parts != "train")
    rows = np.flatnonzero(usable)
    table = real.table.take(pa.array(rows))
    ids, patients = (np.array(table[name].to_pylist()) for name in ("image_id", "patient_id"))
    return RealPictures(ids, patients, patient_strata(table), parts[rows], np.empty((0, 0, 0), np.uint8)), table


def patient_strata(table: pa.Table) -> np.ndarray:
    """str [N]: finding and view that a patient has most often, of equally frequent ones the first by name."""
    rows = zip(*(table[name].to_pylist() for name in ("patient_id", "finding", "view")), strict=True)
    seen: dict[str, Counter[str]] = {}
    patients = []
    for patient, finding, view in rows:
        patients.append(patient)
        seen.setdefault(patient, Counter())[f"{finding}, {view or 'view unknown'}"] += 1
    often = {patient: min(counts, key=lambda name: (-counts[name], name)) for patient, counts in seen.items()}
    return np.array([often[patient] for patient in patients])
