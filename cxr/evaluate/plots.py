"""An evaluation in pictures: real beside synthetic, distributions, best and worst by density, copied pairs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from PIL import Image

from cxr.data.images import fit_square
from cxr.detectors.details import DetailMatches
from cxr.evaluate.config import ALL
from cxr.evaluate.label_classifier import SeenFindings
from cxr.evaluate.measure import Features
from cxr.evaluate.prdc import densities, nearest_distances
from cxr.evaluate.results import Quality, has_aurocs
from cxr.evaluate.sets import ImageSet
from cxr.report.contact_sheet import SIDE, Row, sheet
from cxr.report.plots import COLOURS, interval, png
from cxr.report.words import FRECHET

COMPARISON, ACCURACY, DISTRIBUTIONS = "comparison.png", "prompt_accuracy.png", "distributions.png"
DENSITY, COPIES = "density.png", "copies.png"
COLUMNS = 5  # pictures of each set in a row of the comparison
PAIRS, PAIRS_A_ROW = 12, 4
REAL, SYNTHETIC = COLOURS[0], COLOURS[5]


@dataclass(frozen=True)
class Shown:
    """The pictures whose features are shown: drawn before any picture is read."""

    rows: tuple[np.ndarray, np.ndarray]  # of the real and of the synthetic set, in random order
    rng: np.random.Generator  # with which drawing goes on


def choose_shown(real: np.ndarray, synthetic: np.ndarray, most: int, rng: np.random.Generator) -> Shown:
    """Of rows of the real set's part that is compared with and of the synthetic set."""
    ours, theirs = (rng.permutation(rows)[:most] for rows in (real, synthetic))
    return Shown((ours, theirs), rng)


def draw_plots(
    quality: Quality,
    real: ImageSet,
    part: np.ndarray,
    synthetic: ImageSet,
    shown: Shown,
    features: tuple[Features, Features],
    matched: tuple[DetailMatches, np.ndarray],
    neighbours: int,
) -> dict[str, bytes]:
    """All pictures of an evaluation, by key.

    Args:
        part: int [P], rows of the real set that were compared with.
        matched: the matches, which name rows of the real set, and how like unrelated real pictures are.
    """
    findings = [group.finding for group in quality.groups if group.finding != ALL]
    ours, theirs = (side.of(rows) for side, rows in zip(features, shown.rows, strict=True))
    near, far = densities(ours, theirs, neighbours), nearest_distances(theirs, ours)
    found, unrelated = matched
    threshold = quality.copies.threshold if quality.copies else None
    followed = {ACCURACY: draw_accuracies(quality)} if has_aurocs(quality) else {}
    return {
        COMPARISON: comparison(real.select(part), synthetic, findings, shown.rng),
        **followed,
        DISTRIBUTIONS: distributions(quality, (ours, theirs), found.scores, unrelated),
        DENSITY: best_and_worst(synthetic, shown.rows[1], near, far),
        COPIES: copied_pairs(real, synthetic, found, threshold),
    }


def comparison(real: ImageSet, synthetic: ImageSet, findings: Sequence[str], rng: np.random.Generator) -> bytes:
    """For each finding real pictures on the left and synthetic ones on the right, drawn at random."""

    def some(side: ImageSet, finding: str) -> list[Image.Image]:
        return tiles(side.read(rng.permutation(np.flatnonzero(side.labels.shows(finding)))[:COLUMNS]))

    sides = "real on the left, synthetic on the right"
    return sheet(
        [Row(f"{name.replace('_', ' ')}: {sides}", [some(real, name), some(synthetic, name)]) for name in findings]
    )


def tiles(pixels: Iterable[np.ndarray]) -> list[Image.Image]:
    """Of pictures uint8 [H, W], as a sheet shows them."""
    return [Image.fromarray(fit_square(np.ascontiguousarray(picture), SIDE, "keep")) for picture in pixels]


def best_and_worst(synthetic: ImageSet, rows: np.ndarray, density: np.ndarray, distance: np.ndarray) -> bytes:
    """Of these rows, int [M], those with most and with fewest real ones around: by density float [M], and where that is
    the same by the distance float [M] to the nearest real one."""
    order, count = np.lexsort([distance, -density]), min(2 * COLUMNS, len(density) // 2)
    extremes = (("Best: the most real pictures around", order[:count]), ("Worst: the fewest", order[::-1][:count]))
    return sheet(
        [
            Row(label, [tiles(synthetic.read(rows[places]))], [[f"density {density[place]:.2f}" for place in places]])
            for label, places in extremes
        ]
    )


def copied_pairs(real: ImageSet, synthetic: ImageSet, found: DetailMatches, threshold: float | None) -> bytes:
    """The pairs that are most alike, each synthetic picture beside its training picture, turned as the match has it."""
    order = np.argsort(-found.scores, kind="stable")[:PAIRS]
    rows = []
    for start in range(0, len(order), PAIRS_A_ROW):
        part = order[start : start + PAIRS_A_ROW]
        label = "Synthetic, and the training picture that is most like it" if start == 0 else ""
        rows.append(
            Row(
                label,
                [pair_of_tiles(real, synthetic, found, q) for q in part],
                [captions_of(found, q, threshold) for q in part],
            )
        )
    return sheet(rows)


def pair_of_tiles(real: ImageSet, synthetic: ImageSet, found: DetailMatches, query: int) -> list[Image.Image]:
    (picture,), (original,) = synthetic.read(np.array([query])), real.read(found.rows[[query]])
    return tiles([picture, original[:, ::-1] if found.mirrored[query] else original])


def captions_of(found: DetailMatches, query: int, threshold: float | None) -> list[str]:
    score = found.scores[query]
    decision = "" if threshold is None else ": flagged" if score > threshold else ": not flagged"
    return [f"{score:.3f}{decision}", "training, mirrored" if found.mirrored[query] else "training"]


def distributions(
    quality: Quality, features: tuple[np.ndarray, np.ndarray], scores: np.ndarray, unrelated: np.ndarray
) -> bytes:
    """Four panels, 1,400 pixels wide.

    Args:
        features: float32 [N, d] and [M, d] of real and synthetic pictures.
        scores: float32 [M], of synthetic pictures to their nearest training picture.
        unrelated: float32 [C], of training pictures to the nearest one of another patient.
    """
    real, synthetic = features
    canvas = Canvas(figsize=(14, 11), dpi=100, layout="constrained")
    axes = canvas.subplots(2, 2)
    draw_references(axes[0, 0], quality)
    draw_plane(axes[0, 1], real, synthetic)
    draw_distances(axes[1, 0], real, synthetic)
    draw_scores(axes[1, 1], scores, unrelated, quality.copies.threshold if quality.copies else None)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=12)
        axis.legend(fontsize=12, loc="upper left", bbox_to_anchor=(0, -0.1), frameon=False, ncols=3)
    return png(canvas)


def draw_accuracies(quality: Quality) -> bytes:
    """AUROCs of findings and attributes with their intervals, synthetic beside real test pictures; a row each."""
    measured = [found for found in (quality.prompt_accuracy, quality.attribute_accuracy) if found]
    asked = [(found, name) for found in measured for name in sorted_by_auroc(found.synthetic)]
    canvas = Canvas(figsize=(10, 1.6 + 0.42 * len(asked)), dpi=100, layout="constrained")
    axis = canvas.subplots()
    styles = ((-0.14, REAL, "o", "real test pictures"), (0.14, SYNTHETIC, "D", "synthetic pictures, as asked"))
    for number, (accuracies, name) in enumerate(asked):
        for side, (offset, colour, marker, label) in zip((accuracies.real, accuracies.synthetic), styles, strict=True):
            found = side.aurocs[name]
            style = {"fmt": marker, "color": colour, "capsize": 4, "markersize": 7}
            style |= {} if number else {"label": label}
            interval(axis, number + offset, found.value, found.low, found.high, **style)
    axis.axvline(0.5, color="black", linestyle=":", label="chance")
    axis.set_title("How well a classifier of real pictures tells what was asked (AUROC)", fontsize=15)
    axis.set_yticks(range(len(asked)), [name.replace("_", " ") for _, name in asked])
    axis.set_ylim(len(asked) - 0.5, -0.5)
    axis.set_xlim(right=1.02)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=12)
    canvas.legend(fontsize=12, loc="outside lower center", frameon=False, ncols=3)
    return png(canvas)


def sorted_by_auroc(found: SeenFindings) -> list[str]:
    return sorted(found.aurocs, key=lambda name: found.aurocs[name].low)


def draw_references(axis: Axes, quality: Quality) -> None:
    axis.set_title(f"{quality.metric_label(FRECHET)}, at the size of real halves", fontsize=15)
    references = [group.metrics[FRECHET].reference for group in quality.groups]
    for row, reference in enumerate(references):
        label = "real halves (2.5 to 97.5 % of splits)" if row == 0 else None
        style = {"fmt": "o", "color": REAL, "capsize": 5, "markersize": 8, "label": label}
        interval(axis, row, reference.value, reference.low, reference.high, **style)
    shown = [reference.synthetic for reference in references]
    axis.plot(shown, range(len(references)), "D", color=SYNTHETIC, markersize=9, label="synthetic")
    axis.set_yticks(range(len(references)), [group.finding.replace("_", " ") for group in quality.groups])
    axis.invert_yaxis()
    axis.set_xlim(left=0)


def draw_plane(axis: Axes, real: np.ndarray, synthetic: np.ndarray) -> None:
    """Along the two directions in which the real features vary most."""
    axis.set_title("Features, two principal components of the real ones", fontsize=15)
    middle = real.mean(axis=0)
    directions = np.linalg.svd(real - middle, full_matrices=False)[2][:2]
    for features, colour, name in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        x, y = ((features - middle) @ directions.T).T
        axis.scatter(x, y, s=12, alpha=0.5, color=colour, label=name, linewidths=0)


def draw_distances(axis: Axes, real: np.ndarray, synthetic: np.ndarray) -> None:
    axis.set_title("Distance of features to the nearest real picture", fontsize=15)
    between, beside = nearest_distances(real), nearest_distances(synthetic, real)
    draw_shares(axis, {"real, to another": (between, REAL), "synthetic": (beside, SYNTHETIC)})


def draw_scores(axis: Axes, scores: np.ndarray, unrelated: np.ndarray, threshold: float | None) -> None:
    axis.set_title("Correlation with the nearest training picture", fontsize=15)
    draw_shares(axis, {"real, of another patient": (unrelated, REAL), "synthetic": (scores, SYNTHETIC)})
    if threshold is not None:
        axis.axvline(threshold, color="black", linestyle=":", label="flagged above")
    axis.set_xlim(right=1.02)


def draw_shares(axis: Axes, samples: dict[str, tuple[np.ndarray, str]]) -> None:
    """Histograms over the same bins, as shares of each sample."""
    bins = np.histogram_bin_edges(np.concatenate([values for values, _ in samples.values()]), 40)
    for name, (values, colour) in samples.items():
        weights = np.full(len(values), 1 / len(values))
        axis.hist(values, list(bins), weights=weights, color=colour, alpha=0.5, label=name)
    axis.set_ylabel("share", fontsize=12)
