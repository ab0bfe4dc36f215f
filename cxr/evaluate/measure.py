"""From features and pictures to every metric of an evaluation, for each finding and overall."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr.evaluate.config import ALL, HELD_OUT, EvaluateConfig
from cxr.evaluate.diversity import Diversity, diversity, draw_pairs
from cxr.evaluate.features import Extractor
from cxr.evaluate.frechet import Moments, extrapolated, frechet, frechet_distance, gaussian_of
from cxr.evaluate.kernel import kernel_distance
from cxr.evaluate.prdc import prdc
from cxr.evaluate.resample import Metrics, Part, TrainingGap, intervals, real_references, training_gap
from cxr.evaluate.results import FullSetDistance, Group, Metric
from cxr.evaluate.score import inception_score
from cxr.evaluate.sets import ImageSet, rows_of
from cxr.report.words import FRECHET

# What a metric can be; the kernel distance, which is unbiased, can be anything.
RANGES = {
    FRECHET: (0.0, np.inf), "precision": (0.0, 1.0), "recall": (0.0, 1.0), "density": (0.0, np.inf),
    "coverage": (0.0, 1.0), "inception_score": (1.0, np.inf),
}  # fmt: skip


@dataclass(frozen=True)
class Features:
    """Of a set: of the rows that metrics use, and sums over all."""

    rows: np.ndarray  # int [R], ascending
    values: np.ndarray  # float32 [R, d]
    sums: dict[str, Moments]  # of all pictures that show each finding, and of those that show any

    def of(self, rows: np.ndarray) -> np.ndarray:
        return self.values[np.searchsorted(self.rows, rows)]


@dataclass(frozen=True)
class GroupRows:
    """What a finding, or all of them, is measured by: chosen before any picture is read."""

    finding: str
    rows: tuple[np.ndarray, np.ndarray]  # of the real set's part and of the synthetic set, int [N] and [M]
    rng: np.random.Generator  # with which measuring goes on

    @property
    def is_all(self) -> bool:
        return self.finding == ALL


def choose_groups(
    real: ImageSet, part: np.ndarray, synthetic: ImageSet, findings: Sequence[str], config: EvaluateConfig
) -> list[GroupRows]:
    """All findings together, then each.

    Args:
        part: int [P], rows of the real set to compare with.
    """
    found = []
    for number, finding in enumerate((ALL, *findings)):
        rng = np.random.default_rng([config.seed, number])
        chosen = tuple(findings) if finding == ALL else (finding,)
        ours = part[sample_rows(real.labels.shows(*chosen)[part], config.max_samples, rng)]
        theirs = sample_rows(synthetic.labels.shows(*chosen), config.max_samples, rng)
        found.append(GroupRows(finding, (ours, theirs), rng))
    return found


def measure_group(
    chosen: GroupRows,
    real: ImageSet,
    synthetic: ImageSet,
    features: tuple[Features, Features],
    extractor: Extractor,
    config: EvaluateConfig,
) -> Group:
    """Of the chosen rows of both sets, and the Fréchet distance also of all.

    Raises:
        BadInput: a metric cannot be computed of these pictures.
    """
    (ours, theirs), rng = chosen.rows, chosen.rng
    patients = real.patients[ours]
    return Group(
        finding=chosen.finding,
        real_count=len(ours),
        real_patients=len(set(patients)),
        synthetic_count=len(theirs),
        too_few=min(len(ours), len(theirs)) <= extractor.dimension,
        metrics=measure_metrics(features[0].of(ours), features[1].of(theirs), patients, extractor, config, rng),
        real_diversity=None if chosen.is_all else measure_diversity(real, ours, config, rng),
        synthetic_diversity=None if chosen.is_all else measure_diversity(synthetic, theirs, config, rng),
        whole=full_set_distance(chosen, features),
    )


def full_set_distance(chosen: GroupRows, features: tuple[Features, Features]) -> FullSetDistance | None:
    sums = [side.sums[chosen.finding] for side in features]
    if all(len(rows) == moments.count for rows, moments in zip(chosen.rows, sums, strict=True)):
        return None
    return FullSetDistance(frechet(*map(gaussian_of, sums)), *(moments.count for moments in sums))


def choose_gap_rows(
    real: ImageSet, findings: Sequence[str], config: EvaluateConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows of training and of held-out pictures, for `sides`; None where either are of too few patients, or any is in
    both."""
    shown, parts = real.labels.shows(*findings), (rows_of(real.splits, name) for name in ("train", HELD_OUT))
    found = tuple(part[sample_rows(shown[part], config.max_samples, rng)] for part in parts)
    train, held_out = (set(real.patients[rows]) for rows in found)
    return found if min(len(train), len(held_out)) >= config.min_samples and not train & held_out else None


def measure_training_gap(
    rows: tuple[np.ndarray, np.ndarray] | None,
    chosen: GroupRows,
    real: ImageSet,
    features: tuple[Features, Features],
    config: EvaluateConfig,
    rng: np.random.Generator,
) -> TrainingGap | None:
    """The Fréchet distance of the chosen synthetic pictures to either part, `rows`."""
    if rows is None:
        return None
    train, held_out = (Part(features[0].of(part), real.findings[part], real.patients[part]) for part in rows)
    return training_gap(frechet_distance, train, held_out, features[1].of(chosen.rows[1]), rng, splits=config.splits)


def sample_rows(chosen: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Rows that are chosen, bool [N], at most so many, in order."""
    return np.sort(rng.permutation(np.flatnonzero(chosen))[:most])


def measure_metrics(
    real: np.ndarray,
    synthetic: np.ndarray,
    patients: np.ndarray,
    extractor: Extractor,
    config: EvaluateConfig,
    rng: np.random.Generator,
) -> dict[str, Metric]:
    """Of features [N, d] and [M, d], each with interval and real-vs-real reference."""
    measured, groups = metrics_of(extractor, config.neighbours), patients.tolist()
    spread = intervals(
        measured, real, synthetic, rng, corrected={FRECHET}, ranges=RANGES, real_groups=groups,
        resamples=config.resamples,
    )  # fmt: skip
    ground = real_references(measured, real, synthetic, rng, groups=groups, splits=config.splits)
    infinite = {FRECHET: extrapolated(real, synthetic, rng)} if config.infinite else {}
    return {name: Metric(spread[name], ground[name], infinite.get(name)) for name in spread}


def metrics_of(extractor: Extractor, k: int) -> Metrics:
    def measured(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
        found = {
            FRECHET: frechet_distance(real, synthetic),
            "kernel_distance": kernel_distance(real, synthetic),
            **prdc(real, synthetic, k),
        }
        if extractor.classes:
            found["inception_score"] = inception_score(extractor.probabilities(synthetic))
        return found

    return measured


def measure_diversity(side: ImageSet, rows: np.ndarray, config: EvaluateConfig, rng: np.random.Generator) -> Diversity:
    """Of random pairs of these rows, whose pictures alone are read."""
    pairs = draw_pairs(len(rows), config.pairs, rng)
    used, places = np.unique(pairs, return_inverse=True)
    return diversity(side.read(rows[used]), places.reshape(pairs.shape), rng)
