"""Is a generated picture good enough for its set? Judged one by one by real pictures, none of which is a test picture.

label     a classifier of the real train part names what was asked for. Of findings that exclude each other the asked
          one is the most probable; of several each that was asked for is seen, and where none was, the likeliest is
          less likely than validation pictures with any finding are.
realism   its features are as near to the nearest real picture's as most real pictures' are to another patient's.
copies    the search for near-duplicates of whole training pictures (`cxr.detectors.details`) does not flag it.
parts     the search for parts of them (`cxr.detectors.keypoints`) does not.

The real set has to come without its test part: then nothing that is found of it later was chosen for.
"""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cxr.artifact import unit_key
from cxr.data.candidates import VERDICT, VERDICTS
from cxr.data.catalog import read_unscaled
from cxr.data.images import fit_square
from cxr.data.labels import LabelPolicy, label_matrix
from cxr.detectors.details import TrainingImageIndex
from cxr.detectors.matches import Detector
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.label_classifier import FittedClassifier
from cxr.evaluate.prdc import nearest_distances, prdc
from cxr.evaluate.worker import extractor_here
from cxr.store import Store, parquet

NEIGHBOURS, DRAWS = 5, 20  # of precision, recall, density and coverage; of as many pictures from all that were made
DRAWS_STREAM = 1_000_007  # of random numbers of a seed


@dataclass(frozen=True)
class Judge:
    """All that a picture is judged by; what no test asks for is None."""

    tests: tuple[str, ...]
    features: np.ndarray  # float32 [R, d], of real pictures
    farthest: float  # of realism: the distance to the nearest of them that is allowed
    min_probability: float
    classifier: FittedClassifier | None = None
    none: float = 0.0  # of a picture without a finding: by how much the likeliest may exceed its threshold
    copies: tuple[TrainingImageIndex, float] | None = None  # with the likeness above which one is flagged
    parts: tuple[Detector, float] | None = None


def excess(classifier: FittedClassifier, predicted: np.ndarray) -> np.ndarray:
    """Of probabilities [N, F] the most that one exceeds its threshold by, [N]."""
    return (predicted - np.array(classifier.thresholds)).max(axis=1)


def judge_pictures(judge: Judge, rows: pa.Table, pixels: np.ndarray, features: np.ndarray) -> pa.Table:
    """What is found of generated pictures, of schema VERDICT.

    Args:
        rows: of a catalog, what was asked for.
        pixels: uint8 [N, S, S]; features: float32 [N, d], of the same.
    """
    measured: dict[str, np.ndarray] = {"distance": nearest_distances(features, judge.features)}
    refused: dict[str, np.ndarray] = {"realism": measured["distance"] > judge.farthest}
    if judge.classifier:
        values = label_matrix(rows, judge.classifier.findings, LabelPolicy())
        predicted = judge.classifier.predict(pixels)
        measured["probability"], right = see_asked(judge, values, predicted)
        refused["label"] = ~right
    if judge.copies:
        measured["likeness"] = judge.copies[0].nearest(pixels, threads=1).scores
        refused["copies"] = measured["likeness"] > judge.copies[1]
    if judge.parts:
        measured["parts"] = judge.parts[0].nearest(pixels).scores
        refused["parts"] = measured["parts"] > judge.parts[1]
    reasons = [next((test for test in judge.tests if refused[test][row]), None) for row in range(len(rows))]
    columns = {
        "image_id": rows["image_id"].to_pylist(),
        "accepted": [reason is None for reason in reasons],
        "reason": reasons,
        **{name: measured[name].tolist() if name in measured else [None] * len(rows)
           for name in ("probability", "distance", "likeness", "parts")},
        "features": features.tolist(),
    }  # fmt: skip
    return pa.table(columns, schema=VERDICT)


def see_asked(judge: Judge, values: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of what was asked [N, F] and probabilities [N, F]: that of the least probable asked finding (without any, that of
    none), float [N], and whether the picture shows what was asked, bool [N]."""
    assert judge.classifier is not None
    asked = values == 1
    least = np.where(asked, predicted, np.inf).min(axis=1)
    if judge.classifier.thresholds is None:
        best = predicted.argmax(axis=1)
        return least, asked[np.arange(len(asked)), best] & (least >= judge.min_probability)
    bare = ~asked.any(axis=1)
    seen = (~asked | (predicted >= np.array(judge.classifier.thresholds))).all(axis=1)
    none = excess(judge.classifier, predicted) < judge.none
    return np.where(bare, 1 - predicted.max(axis=1), least), np.where(bare, none, seen)


@dataclass(frozen=True)
class AcceptWorker:
    """Judges a unit's pictures on a worker, where it travels with places and settings."""

    store: Store
    extractor: str
    size: int  # px at which classifier and searches see pictures; the extractor is given them as they are stored

    def __call__(self, unit: int, pickled: bytes, judge: Judge) -> dict[str, Any]:
        """Stores the verdicts; the same unit gives the same, so that whoever comes second changes nothing."""
        rows: pa.Table = pickle.loads(pickled)
        pixels = read_unscaled(self.store, rows)
        sized = np.stack([fit_square(picture, self.size, "keep") for picture in pixels])
        found = judge_pictures(judge, rows, sized, extractor_here(self.extractor)(pixels))
        self.store.put(unit_key(VERDICTS, unit, ".parquet"), parquet(found))
        return {"unit": unit, "images": len(rows), "accepted": sum(found["accepted"].to_pylist())}


def measure_diversity(
    real: np.ndarray, features: np.ndarray, accepted: np.ndarray, findings: np.ndarray, seed: int
) -> dict[str, dict[str, float]]:
    """What filtering costs: precision, recall, density and coverage of the accepted pictures, and of as many of each
    finding that are drawn from all that were made (a mean over `DRAWS`); nothing where they are too few.

    Args:
        real: float32 [R, d]; features: float32 [M, d]; accepted: bool [M]; findings: str [M].
    """
    rng = np.random.default_rng([seed, DRAWS_STREAM])
    kept = rng.permutation(np.flatnonzero(accepted))[: EvaluateConfig().max_samples]
    ours = real[rng.permutation(len(real))[: EvaluateConfig().max_samples]]
    if min(len(kept), len(ours)) <= NEIGHBOURS:
        return {}
    counts = {name: int((findings[kept] == name).sum()) for name in np.unique(findings[kept])}

    def draw() -> np.ndarray:
        return np.concatenate([rng.permutation(np.flatnonzero(findings == name))[:n] for name, n in counts.items()])

    chosen = prdc(ours, features[kept], NEIGHBOURS)
    drawn = [prdc(ours, features[draw()], NEIGHBOURS) for _ in range(DRAWS)]
    return {
        name: {"accepted": chosen[name], "all made": float(np.mean([one[name] for one in drawn]))}
        for name in ("recall", "coverage", "precision", "density")
    }
