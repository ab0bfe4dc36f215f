"""What must hold of a study's sets before anything is trained."""

from collections import Counter
from collections.abc import Iterable, Sequence

from cxr.data.catalog import CatalogSet
from cxr.data.labels import NO_FINDING
from cxr.errors import BadInput, nearest
from cxr.study.config import StudyConfig
from cxr.study.several_sets import check_no_positive, shows_several

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


def check_own(config: StudyConfig, own: Iterable[str]) -> None:
    """`BadInput` unless arms of these names take synthetic pictures."""
    able = [arm.name for arm in config.arms if arm.synthetic]
    for name in own:
        if name not in able:
            raise BadInput(
                f"--synthetic {name}=...: no arm of that name takes synthetic pictures; {nearest(name, able)}"
            )


def classes_of(real: CatalogSet, config: StudyConfig) -> tuple[str, ...]:
    """The findings by name; of two, the positive one last: the finding where the other is its absence."""
    if shows_several(real):
        check_no_positive(config.positive, real.vocabulary.findings)
        return real.vocabulary.findings
    classes = sorted(set(real.table["finding"].to_pylist()))
    if len(classes) < 2:
        raise BadInput(f"--real {real.store.uri}: shows {classes[0]} only; a classifier needs two findings at least")
    if config.positive is None and not real.vocabulary.exclusive:
        return NO_FINDING, *real.vocabulary.findings
    if config.positive is None:
        return tuple(classes)
    if config.positive not in classes or len(classes) > 2:
        raise BadInput(f"--positive {config.positive!r}: give one of two findings; the set has {', '.join(classes)}")
    return (*(name for name in classes if name != config.positive), config.positive)
