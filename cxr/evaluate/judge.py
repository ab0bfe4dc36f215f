"""The judge of generated pictures, from a real set without its test part."""

from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.classify.best_of import count_steps, train_best_of
from cxr.classify.task import task_of
from cxr.data.candidates import FilterConfig
from cxr.data.catalog import CatalogSet, read_unscaled
from cxr.data.labels import NO_FINDING, LabelPolicy, Vocabulary, label_matrix
from cxr.detectors.matches import Detector
from cxr.errors import BadInput
from cxr.evaluate.accept import Judge, excess
from cxr.evaluate.calibration import calibrate, count_lookups, why_too_few
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.features import extractor_of
from cxr.evaluate.label_classifier import (
    FittedClassifier,
    Labelled,
    Predict,
    choose_thresholds,
    fit_classifier,
    known_findings,
)
from cxr.evaluate.prdc import distances_to_others
from cxr.evaluate.sets import ImageSet, load_images
from cxr.evaluate.worker import UNIT
from cxr.progress import note, progress
from cxr.tables import batched

PARTS = ("train", "validation")  # all of the real set that a judge sees
MOST_REAL = 5000  # pictures, drawn at random, whose features others are compared with
LEAST_CONTROLS = 99  # validation pictures, so that 1 % of them is one
COPIES_STREAM, REAL_STREAM = 1_000_001, 1_000_006  # of random numbers of a seed


def without_test_part(real: CatalogSet) -> CatalogSet:
    """The pictures that a judge may see.

    Raises:
        BadInput: there is no train or no validation part.
    """
    table = real.table.filter(pc.is_in(real.table["split"], pa.array(PARTS)))
    if missing := [name for name in PARTS if name not in table["split"].to_pylist()]:
        raise BadInput(f"--real {real.store.uri}: has no {missing[0]} part; give a set that jobs/ingest.py made")
    return CatalogSet(real.store, real.record, table)


def check_judge(real: CatalogSet, filter: FilterConfig, asked: Vocabulary, findings: Collection[str]) -> None:
    """`BadInput` where pictures of these findings cannot be judged by these real ones. Reads no picture.

    Args:
        real: without its test part.
        asked: the vocabulary of the set that is made, and `findings` what its pictures are asked for.
    """
    where = f"--accept {filter.accept}: --real {real.store.uri}"
    splits = real.table["split"].to_pylist()
    if "copies" in filter.tests and (why := why_too_few(splits.count("train"))):
        raise BadInput(f"{where}: has {why}; leave copies out, or ingest more")
    if "parts" in filter.tests and splits.count("validation") < LEAST_CONTROLS:
        raise BadInput(
            f"{where}: its {splits.count('validation')} validation pictures are too few to say which key points "
            f"match by chance; {LEAST_CONTROLS} are needed: leave parts out, or ingest more"
        )
    if "label" not in filter.tests:
        return
    ours = real.vocabulary
    if ours.exclusive and not asked.exclusive:
        raise BadInput(f"{where}: shows one finding a picture, so nobody can see several; leave label out")
    known = {name for name in ours.findings if all(shows(real, name, part) for part in PARTS)}
    known |= set() if ours.exclusive else {NO_FINDING}
    if strange := sorted({*findings} - known):
        raise BadInput(
            f"{where}: shows no {strange[0]} in its train and validation part, so no classifier can see it; it has "
            f"{', '.join(sorted(known)) or 'none in both'}: leave label out, or give another set"
        )
    if ours.exclusive and len(known) < 2:
        raise BadInput(f"{where}: shows {', '.join(known)} alone, which nothing can be told from; leave label out")


def shows(real: CatalogSet, finding: str, part: str) -> bool:
    """Whether a part has pictures with and, by label, without it."""
    rows = real.table.filter(pc.equal(real.table["split"], part))
    values = label_matrix(rows, [finding], LabelPolicy())
    return bool((values == 1).any() and (values == 0).any())


def prepare_judge(
    real: CatalogSet,
    filter: FilterConfig,
    seed: int,
    find_parts: Callable[[np.ndarray, np.ndarray], tuple[Detector, float]],
) -> Judge:
    """From real pictures without their test part.

    Args:
        find_parts: from training and validation pictures, uint8 [N, S, S] each, the search of the test parts, and the
            score above which it refuses a picture.

    Raises:
        BadInput: a picture is damaged.
    """
    config, vocabulary = EvaluateConfig(seed=seed, extractor=filter.extractor), real.vocabulary
    with progress("real set", len(real.table), "pictures") as advance:
        pictures = load_images(real, config, advance)
    drawn = draw_real(len(real.table), seed)
    features = []
    with progress("features", len(drawn), "pictures") as advance:
        extractor = extractor_of(filter.extractor)
        for rows in batched(drawn.tolist(), UNIT):
            features.append(extractor(read_unscaled(real.store, real.table.take(pa.array(rows)))))
            advance(len(rows))
    distances = distances_to_others(np.concatenate(features), pictures.patients[drawn])
    classifier, none, copies, parts = None, 0.0, None, None
    if "label" in filter.tests:
        known = known_findings(pictures, pictures.labels, vocabulary.exclusive, *PARTS)
        known = [name for name in known if name in vocabulary.findings]
        with progress("classifier", count_steps(len(pictures.part("train"))), "steps") as advance:
            learn = partial(train, exclusive=vocabulary.exclusive, seed=seed, advance=advance)
            classifier = fit_classifier(pictures, pictures.labels, known, vocabulary.exclusive, learn)
        none = 0.0 if vocabulary.exclusive else choose_none(classifier, pictures)
    if "copies" in filter.tests:
        with progress("likeness", count_lookups(pictures, config.calibration), "pictures") as advance:
            rng = np.random.default_rng([seed, COPIES_STREAM])
            calibration = calibrate(pictures, config.calibration, rng, advance)
        assert calibration.threshold is not None  # as `check_judge` has seen
        copies = calibration.index, calibration.threshold
    if "parts" in filter.tests:
        note("parts: key points of the training pictures are read")
        parts = find_parts(*(pictures.read(pictures.part(name)) for name in PARTS))
    return Judge(
        filter.tests, np.concatenate(features), float(np.percentile(distances, filter.max_percentile)),
        filter.min_probability, classifier, none, copies, parts,
    )  # fmt: skip


def train(
    training: Labelled, validation: Labelled, exclusive: bool, seed: int, advance: Callable[[], object]
) -> Predict:
    """The classifier that evaluations have, see `train_best_of`."""
    task = task_of(training[1].shape[1], exclusive)
    parts = [(pixels, task.targets(values)) for pixels, values in (training, validation)]
    return train_best_of(parts[0], parts[1], task, seed, advance)


def choose_none(classifier: FittedClassifier, real: ImageSet) -> float:
    """By how much the likeliest finding of a picture without any may exceed its threshold: as validation pictures with
    and without findings are told apart best."""
    rows = real.part("validation")
    values = real.labels.columns(classifier.findings)[rows]
    with_any, without = (values == 1).any(axis=1), (values == 0).all(axis=1)
    if not with_any.any() or not without.any():
        return 0.0
    scores = excess(classifier, classifier.predict(real.read(rows)))
    known = with_any | without
    return choose_thresholds(scores[known, None], with_any[known, None].astype(np.float32))[0]


def draw_real(count: int, seed: int) -> np.ndarray:
    """Rows of real pictures whose features are computed, int ascending."""
    return np.sort(np.random.default_rng([seed, REAL_STREAM]).permutation(count)[:MOST_REAL])
