"""What all units of an evaluation say together, once every one of them is stored."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from cxr.detectors.details import DetailMatches
from cxr.errors import BadInput
from cxr.evaluate import measure, plots, results
from cxr.evaluate.calibration import CopyCalibration, count_copies, why_too_few
from cxr.evaluate.config import ALL
from cxr.evaluate.features import Extractor
from cxr.evaluate.finish import EvaluateJob, EvaluationResult, copies_table
from cxr.evaluate.frechet import Moments, moments
from cxr.evaluate.label_classifier import Classifiers, measure_prompt_accuracy
from cxr.evaluate.measure import Features
from cxr.evaluate.sets import ImageSet, label_attributes, open_images, rows_of
from cxr.evaluate.worker import INSPECTED, Unit, Units, damaged_features, features_in
from cxr.store import Store, StoredObject, read_parquet, sha256
from cxr.tables import batched

AT_ONCE = 8  # units that are read together
# Streams of draws beside those of findings, which count from 0.
SHOWN_STREAM, SIDES_STREAM, ACCURACY_STREAM = 1_000_002, 1_000_003, 1_000_004


def conclude(
    job: EvaluateJob,
    units: Units,
    findings: Sequence[str],
    calibration: CopyCalibration,
    classifiers: Classifiers,
    extractor: Extractor,
    left_out: Sequence[str],
    advance: Callable[[int], object],
) -> EvaluationResult:
    """Every metric of units that are all stored. Samples are chosen before their features are read: of the others
    only sums are kept."""
    config, against = job.config, job.against
    real, synthetic = (open_images(found, config) for found in (job.real, job.synthetic))
    parts = rows_of(real.splits, against), np.arange(len(synthetic.ids))
    groups = measure.choose_groups(real, parts[0], synthetic, findings, config)
    shown = plots.choose_shown(*parts, config.max_samples, np.random.default_rng([config.seed, SHOWN_STREAM]))
    rng = np.random.default_rng([config.seed, SIDES_STREAM])
    sides = measure.choose_gap_rows(real, findings, config, rng)
    used = [np.unique(np.concatenate([*(group.rows[side] for group in groups), shown.rows[side]])) for side in (0, 1)]
    used[0] = np.union1d(used[0], np.concatenate(sides)) if sides else used[0]
    gathered = (
        gather_features(job.store, side, rows, summed_rows(pictures, part, findings))
        for side, rows, part, pictures in zip(
            (units.real, units.synthetic), used, parts, (real, synthetic), strict=True
        )
    )
    features, objects = zip(*gathered, strict=True)
    measured = []
    for group in groups:
        measured.append(measure.measure_group(group, real, synthetic, features, extractor, config))
        advance(1)
    near = measure.measure_training_gap(sides, groups[0], real, features, config, rng)
    matches, predicted = gather_inspected(job.store, units.synthetic, calibration.rows)
    copies = count_copies(calibration, synthetic.labels, matches)
    attributes = label_attributes(job.real, job.synthetic, config)
    rng = np.random.default_rng([config.seed, ACCURACY_STREAM])
    accuracies, attribute_accuracies = (
        measure_prompt_accuracy(known, labels, scores, rng) if known else None
        for known, labels, scores in zip(
            (classifiers.findings, classifiers.attributes), (synthetic.labels, attributes.synthetic),
            classifiers.split(predicted), strict=True,
        )
    )  # fmt: skip
    origin = results.origin_notes(job.real, job.synthetic)
    found = results.Quality(
        extractor.name, extractor.digest, extractor.dimension, results.source_of(job.real),
        results.source_of(job.synthetic), against, measured, near, accuracies, attribute_accuracies, copies,
        why_too_few(len(calibration.rows)),
        [*origin, *filter(None, [job.generator]), *left_out,
         *results.notes_of(
             measured, near, accuracies, (attributes.real.names, attribute_accuracies), copies, extractor.dimension
         ), *attributes.left_out],
    )  # fmt: skip
    pictures = plots.draw_plots(
        found, real, parts[0], synthetic, shown, features, (matches, calibration.unrelated), config.neighbours
    )
    table = copies_table(real, synthetic, matches, calibration.threshold)
    return EvaluationResult(found, table, pictures, [*(objects[0] | objects[1]).values()])


def summed_rows(pictures: ImageSet, part: np.ndarray, findings: Sequence[str]) -> dict[str, np.ndarray]:
    """Which pictures of a part, int [P], the sums of each finding and of all findings are over: bool [N]; of all each
    picture counts once."""
    inside = np.zeros(len(pictures.ids), bool)
    inside[part] = True
    return {ALL: inside & pictures.labels.shows(*findings)} | {
        finding: inside & pictures.labels.shows(finding) for finding in findings
    }


def gather_features(
    store: Store, units: Iterable[Unit], rows: np.ndarray, summed: Mapping[str, np.ndarray]
) -> tuple[Features, dict[str, StoredObject]]:
    """The features of all units of a set in their order: of these rows of it, int [R] ascending, and sums over those of
    each group, bool [N]; some units are in memory at a time. Also what was read, by key."""
    sums: dict[str, Moments] = {}
    objects: dict[str, StoredObject] = {}
    values, start = [], 0
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for group in batched(units, AT_ONCE):
            read, stored = zip(*threads.map(functools.partial(read_features, store), group), strict=True)
            found = np.concatenate(read)
            end = start + len(found)
            values.append(found[rows[(start <= rows) & (rows < end)] - start])
            for name, chosen in summed.items():
                if (here := chosen[start:end]).any():
                    added = moments(found[here])
                    sums[name] = sums[name] + added if name in sums else added
            objects |= {one.key: one for one in stored}
            start = end
    return Features(rows, np.concatenate(values), sums), objects


def read_features(store: Store, unit: Unit) -> tuple[np.ndarray, StoredObject]:
    data = store.get(unit.features)
    try:
        digests, values = features_in(data)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise damaged_features(store, unit.features, type(error).__name__) from None
    if digests != unit.table["sha256"].to_pylist():
        raise damaged_features(store, unit.features, "of others")
    return values, StoredObject(unit.features, len(data), sha256(data))


def gather_inspected(store: Store, units: Iterable[Unit], train: np.ndarray) -> tuple[DetailMatches, np.ndarray]:
    """Of all synthetic pictures the nearest training picture and what classifiers predict, float32 [M, K].

    Args:
        train: int [T], the training pictures' rows in the real set, which the matches then name.
    """

    def read(unit: Unit) -> pa.Table:
        key = str(unit.inspected)
        table = read_parquet(store.get(key))
        if table.schema != INSPECTED:
            raise BadInput(f"{store.uri}: {key} is of another version of this software; remove it")
        return table

    with ThreadPoolExecutor(AT_ONCE) as threads:
        tables = list(threads.map(read, units))
    *found, predicted = pa.concat_tables(tables).columns
    scores, rows, mirrored = (column.to_numpy() for column in found)
    flat = pa.concat_arrays(predicted.chunks).flatten().to_numpy()
    return DetailMatches(scores, train[rows], mirrored), flat.reshape(len(scores), -1)
