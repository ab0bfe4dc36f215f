"""What must hold of a study's sets before anything is trained."""

from collections import Counter
from collections.abc import Sequence

from cxr.data.catalog import CatalogSet
from cxr.errors import BadInput

PARTS = ("train", "validation", "test")


def check_parts(real: CatalogSet, classes: Sequence[str]) -> None:
    shown = Counter(zip(real.table["split"].to_pylist(), real.table["finding"].to_pylist(), strict=True))
    for split in PARTS:
        missing = [finding for finding in classes if not shown[split, finding]]
        if split not in {part for part, _ in shown}:
            raise BadInput(f"--real {real.store.uri}: has no {split} part; ingest it again with one")
        if missing:
            raise BadInput(f"--real {real.store.uri}: no {missing[0]} in its {split} part; ingest it again, or more")


def check_patients(real: CatalogSet) -> None:
    """`BadInput` if a patient is in more than one part, as in a publisher's split that was kept."""
    placed = zip(real.table["patient_id"].to_pylist(), real.table["split"].to_pylist(), strict=True)
    parts_of = Counter(patient for patient, part in set(placed) if patient and part in PARTS)
    if crossing := sum(count > 1 for count in parts_of.values()):
        raise BadInput(
            f"--real {real.store.uri}: {crossing} patients are in more than one part of its split, which flatters all "
            "figures; ingest it again with --split patient"
        )


def check_same_labels(real: CatalogSet, synthetic: CatalogSet, classes: Sequence[str]) -> None:
    shown = set(synthetic.table["finding"].to_pylist())
    if strange := sorted(shown - set(classes)):
        raise BadInput(
            f"--synthetic {synthetic.store.uri}: shows {', '.join(strange)}, --real has {', '.join(classes)}; the "
            "labels of both sets must be the same"
        )


def check_apart(real: CatalogSet, synthetic: CatalogSet) -> None:
    for column in ("sha256", "image_id"):
        both = set(real.table[column].to_pylist()) & set(synthetic.table[column].to_pylist())
        if both:
            raise BadInput(
                f"{len(both)} pictures are in --real and in --synthetic ({column} {min(both)[:16]}); give synthetic "
                "pictures only"
            )
