"""Every figure of an evaluation in named records, for each finding and overall: what `quality.json` holds."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add

import numpy as np

from cxr.data.catalog import CatalogSet
from cxr.data.lineage import PHANTOM_NOTICE, has_phantoms, merge_sources
from cxr.evaluate.agreement import Agreement
from cxr.evaluate.calibration import Copies
from cxr.evaluate.config import ALL, HELD_OUT, EvaluateConfig
from cxr.evaluate.diversity import bounds, draw_pairs, similarity
from cxr.evaluate.features import Extractor
from cxr.evaluate.frechet import Moments, extrapolated, frechet, frechet_distance, gaussian_of
from cxr.evaluate.kernel import kernel_distance
from cxr.evaluate.prdc import neighbours
from cxr.evaluate.resample import Figures, Floor, Interval, Part, Sides, floors, intervals, sides
from cxr.evaluate.score import inception_score
from cxr.evaluate.sets import Pictures, rows_of
from cxr.report.words import FRECHET, title

# What a figure can be; the kernel distance, which is unbiased, can be anything.
RANGES = {
    FRECHET: (0.0, np.inf), "precision": (0.0, 1.0), "recall": (0.0, 1.0), "density": (0.0, np.inf),
    "coverage": (0.0, 1.0), "inception_score": (1.0, np.inf),
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure, its interval, and the same between real pictures."""

    interval: Interval
    floor: Floor
    infinite: float | None  # extrapolated to infinitely many synthetic pictures


@dataclass(frozen=True)
class Diversity:
    """Mean MS-SSIM of pairs, higher is less diverse."""

    value: float
    low: float
    high: float
    pairs: int
    scales: int


@dataclass(frozen=True)
class Whole:
    """The Fréchet distance between all pictures, from sums over them."""

    frechet_distance: float
    real_count: int
    synthetic_count: int


@dataclass(frozen=True)
class Group:
    """What was measured of one finding, or of all."""

    finding: str
    real_count: int
    real_patients: int
    synthetic_count: int
    too_few: bool  # no more pictures on a side than the features have dimensions: the Fréchet distance is far too high
    figures: dict[str, Figure]
    real_diversity: Diversity | None  # of pairs within a finding
    synthetic_diversity: Diversity | None
    whole: Whole | None  # where figures are of some pictures only


@dataclass(frozen=True)
class Source:
    """A set as it was measured."""

    digest: str  # of its catalog
    kind: str
    pictures: int
    name: str  # of its folder or prefix, the last word


def source_of(found: CatalogSet) -> Source:
    name = found.store.uri.rstrip("/").rsplit("/", 1)[-1]
    return Source(found.digest, found.record.kind, len(found.table), name)


@dataclass(frozen=True)
class Quality:
    """All of an evaluation; `notes` is what a reader must know besides."""

    extractor: str
    weights_digest: str
    dimension: int
    real: Source
    synthetic: Source
    against: str  # the part of the real set that figures compare with
    groups: list[Group]
    sides: Sides | None  # the Fréchet distance of all findings to training and to held-out pictures; None without these
    agreement: Agreement | None
    copies: Copies | None
    copies_reason: str  # why there is nothing on near-copies; empty where there is
    notes: list[str]

    def title(self, figure: str) -> str:
        return title(self.extractor, figure)

    def json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode()


def origin_notes(*sets: CatalogSet) -> list[str]:
    """What a reader must know first of where the pictures come from."""
    return [PHANTOM_NOTICE] if has_phantoms(merge_sources(*(found.sources for found in sets))) else []


def notes_of(
    groups: Sequence[Group], near: Sides | None, agreement: Agreement | None, copies: Copies | None, dimension: int
) -> list[str]:
    """What weakens the figures, in a line each."""
    notes = []
    if few := [group.finding for group in groups if group.too_few]:
        notes.append(
            f"no more pictures than the extractor's {dimension} features in {', '.join(few)}: the Fréchet distance "
            "there is far too high, and its interval cannot be trusted"
        )
    if agreement is None:
        notes.append(
            "agreement is not measured: train, validation and test of the real set must each show every compared "
            "finding, and share two findings at least"
        )
    if near and near.training_is_nearer:
        notes.append(
            "the synthetic pictures are nearer to the training pictures than to held-out ones, by more than parts of "
            "the real set differ in 99 %: a sign of memorisation, also where no near-copy is flagged"
        )
    if copies and not copies.patients_known:
        notes.append(
            "the real set names no patients: pictures of one patient look alike and would lift the threshold of "
            "near-copies, so it is extrapolated from the less alike ones; that chance flags 1 % is assumed, not "
            "measured"
        )
    if copies and copies.held_out is None:
        notes.append("the real set has no validation or test part to see how often pictures that are no copies count")
    return notes


@dataclass(frozen=True)
class Features:
    """Of a set: of the rows that figures use, and sums over all."""

    rows: np.ndarray  # int [R], ascending
    values: np.ndarray  # float32 [R, d]
    sums: dict[str, Moments]  # of all pictures of each finding

    def of(self, rows: np.ndarray) -> np.ndarray:
        return self.values[np.searchsorted(self.rows, rows)]


@dataclass(frozen=True)
class Chosen:
    """What a finding, or all of them, is measured by: drawn before any picture is read."""

    finding: str
    findings: tuple[str, ...]
    rows: tuple[np.ndarray, np.ndarray]  # of the real set's part and of the synthetic set, int [N] and [M]
    rng: np.random.Generator  # with which measuring goes on

    @property
    def is_all(self) -> bool:
        return self.finding == ALL


def choose(
    real: Pictures, part: np.ndarray, synthetic: Pictures, findings: Sequence[str], config: EvaluateConfig
) -> list[Chosen]:
    """All findings together, then each.

    Args:
        part: int [P], rows of the real set to compare with.
    """
    found = []
    for number, finding in enumerate((ALL, *findings)):
        rng = np.random.default_rng([config.seed, number])
        chosen = tuple(findings) if finding == ALL else (finding,)
        ours = part[drawn(real.findings[part], chosen, config.max_samples, rng)]
        theirs = drawn(synthetic.findings, chosen, config.max_samples, rng)
        found.append(Chosen(finding, chosen, (ours, theirs), rng))
    return found


def measure(
    chosen: Chosen,
    real: Pictures,
    synthetic: Pictures,
    features: tuple[Features, Features],
    extractor: Extractor,
    config: EvaluateConfig,
) -> Group:
    """Of the chosen rows of both sets, and the Fréchet distance also of all.

    Raises:
        BadInput: a figure cannot be computed of these pictures.
    """
    (ours, theirs), rng = chosen.rows, chosen.rng
    patients = real.patients[ours]
    return Group(
        finding=chosen.finding,
        real_count=len(ours),
        real_patients=len(set(patients)),
        synthetic_count=len(theirs),
        too_few=min(len(ours), len(theirs)) <= extractor.dimension,
        figures=figures(features[0].of(ours), features[1].of(theirs), patients, extractor, config, rng),
        real_diversity=None if chosen.is_all else diversity(real, ours, config, rng),
        synthetic_diversity=None if chosen.is_all else diversity(synthetic, theirs, config, rng),
        whole=whole(chosen, features),
    )


def whole(chosen: Chosen, features: tuple[Features, Features]) -> Whole | None:
    sums = [reduce(add, (side.sums[finding] for finding in chosen.findings)) for side in features]
    if all(len(rows) == moments.count for rows, moments in zip(chosen.rows, sums, strict=True)):
        return None
    return Whole(frechet(*map(gaussian_of, sums)), *(moments.count for moments in sums))


def choose_sides(
    real: Pictures, findings: Sequence[str], config: EvaluateConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows of training and of held-out pictures, for `sides`; None where either are of too few patients, or any is in
    both."""
    parts = (rows_of(real.splits, name) for name in ("train", HELD_OUT))
    found = tuple(part[drawn(real.findings[part], findings, config.max_samples, rng)] for part in parts)
    train, held_out = (set(real.patients[rows]) for rows in found)
    return found if min(len(train), len(held_out)) >= config.min_samples and not train & held_out else None


def measure_sides(
    rows: tuple[np.ndarray, np.ndarray] | None,
    chosen: Chosen,
    real: Pictures,
    features: tuple[Features, Features],
    config: EvaluateConfig,
    rng: np.random.Generator,
) -> Sides | None:
    """The Fréchet distance of the chosen synthetic pictures to either part, `rows`."""
    if rows is None:
        return None
    train, held_out = (Part(features[0].of(part), real.findings[part], real.patients[part]) for part in rows)
    return sides(frechet_distance, train, held_out, features[1].of(chosen.rows[1]), rng, splits=config.splits)


def drawn(findings: np.ndarray, chosen: Sequence[str], most: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of the chosen findings, at most so many, in order."""
    return np.sort(rng.permutation(np.flatnonzero(np.isin(findings, chosen)))[:most])


def figures(
    real: np.ndarray,
    synthetic: np.ndarray,
    patients: np.ndarray,
    extractor: Extractor,
    config: EvaluateConfig,
    rng: np.random.Generator,
) -> dict[str, Figure]:
    """Of features [N, d] and [M, d], each with interval and floor."""
    measured, groups = all_figures(extractor, config.neighbours), patients.tolist()
    spread = intervals(
        measured, real, synthetic, rng, corrected={FRECHET}, ranges=RANGES, real_groups=groups,
        resamples=config.resamples,
    )  # fmt: skip
    ground = floors(measured, real, synthetic, rng, groups=groups, splits=config.splits)
    infinite = {FRECHET: extrapolated(real, synthetic, rng)} if config.infinite else {}
    return {name: Figure(spread[name], ground[name], infinite.get(name)) for name in spread}


def all_figures(extractor: Extractor, k: int) -> Figures:
    def measured(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
        near = neighbours(real, synthetic, k)
        found = {
            FRECHET: frechet_distance(real, synthetic),
            "kernel_distance": kernel_distance(real, synthetic).value,
            **{name: getattr(near, name) for name in ("precision", "recall", "density", "coverage")},
        }
        if extractor.classes:
            found["inception_score"] = inception_score(extractor.probabilities(synthetic))
        return found

    return measured


def diversity(side: Pictures, rows: np.ndarray, config: EvaluateConfig, rng: np.random.Generator) -> Diversity:
    """Of random pairs of these rows, whose pictures alone are read."""
    pairs = draw_pairs(len(rows), config.pairs, rng)
    used, places = np.unique(pairs, return_inverse=True)
    found = similarity(side.read(rows[used]), places.reshape(pairs.shape))
    return Diversity(found.mean, *bounds(found, rng), len(found.values), found.scales)
