"""Both sets in units, and what a worker does with one: features, near-duplicates and labels of its pictures.

A unit's pictures are read once for everything that is asked of them. Their features lie below `features/`, named by
what they are of, and stay with the evaluation, so that another one can use them again; what else was seen in synthetic
pictures lies below `commits/` until the record is written. What is stored is not done again after a crash.
"""

import functools
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.artifact import read_record, unit_key
from cxr.artifact.keys import COMMITS
from cxr.artifact.kinds import EVALUATION
from cxr.data.catalog import read_unscaled
from cxr.data.images import fit_square
from cxr.detectors.details import TrainingImageIndex
from cxr.errors import BadInput
from cxr.evaluate.features import extractor_of
from cxr.evaluate.label_classifier import Predict
from cxr.store import Store, parquet, read_parquet, sha256

if TYPE_CHECKING:  # with pages and plots, which no worker draws
    from cxr.evaluate.finish import EvaluateJob

UNIT = 256  # pictures
CLASSIFIERS = "classifiers/"
COLUMNS = ["image_id", "key", "sha256"]  # of the catalog, that a worker needs
INSPECTED = pa.schema(
    [("score", pa.float32()), ("row", pa.int32()), ("mirrored", pa.bool_()), ("predicted", pa.list_(pa.float32()))]
)

extractor_here = functools.cache(extractor_of)  # of a worker's process


@dataclass(frozen=True)
class Unit:
    """Some pictures of a set, which one worker reads together."""

    store: Store
    table: pa.Table  # their rows of the catalog, COLUMNS
    features: str  # key of their features
    inspected: str | None  # key of nearest training pictures and labels; None for real pictures
    earlier: tuple[str, ...] = ()  # keys of an earlier evaluation's features among which theirs are

    @property
    def keys(self) -> set[str]:
        return {key for key in (self.features, self.inspected) if key is not None}


@dataclass(frozen=True)
class Earlier:
    """A finished evaluation whose features and classifiers are used again."""

    store: Store
    digests: dict[str, str]  # sha256 of each object of features, by its key
    classifiers: dict[str, str] = field(default_factory=dict)  # the same of classifiers of the real set


def read_earlier(job: "EvaluateJob", store: Store) -> Earlier:
    """Raises `BadInput` unless there is a finished evaluation."""
    record = read_record(store)
    if record is None or record.kind != EVALUATION:
        raise BadInput(f"--features {store.uri}: holds no finished evaluation; give one, or leave it out")
    features, classifiers = (
        {stored.key: stored.sha256 for stored in record.objects if stored.key.startswith(folder)}
        for folder in (features_folder(job), CLASSIFIERS)
    )
    return Earlier(store, features, classifiers)


def features_folder(job: "EvaluateJob") -> str:
    """Where all features of these weights lie, of pictures as they are stored."""
    return f"features/{job.recipe['extractor'][:32]}/stored/"


@dataclass(frozen=True)
class Units:
    """Of both sets, in their order."""

    real: list[Unit]
    synthetic: list[Unit]


def units_of(job: "EvaluateJob", size: int = UNIT) -> Units:
    """So many pictures each, the last one fewer."""
    real, synthetic = (
        [
            Unit(side.store, rows, features_key(job, rows["sha256"].to_pylist()), None)
            for start in range(0, len(side.table), size)
            for rows in [side.table.select(COLUMNS).slice(start, size).combine_chunks()]
        ]
        for side in (job.real, job.synthetic)
    )
    keys = (unit_key(COMMITS, number, ".parquet") for number in range(len(synthetic)))
    return Units(real, [replace(unit, inspected=key) for unit, key in zip(synthetic, keys, strict=True)])


def features_key(job: "EvaluateJob", digests: Sequence[str]) -> str:
    """Where features lie: by the weights, and the pictures' files in order."""
    return f"{features_folder(job)}{sha256(' '.join(digests).encode())[:32]}.parquet"


def find_earlier(units: Sequence[Unit], earlier: Earlier | None) -> list[Unit]:
    """The units with where an earlier evaluation has features of their pictures; those in no such unit are looked up
    one by one."""
    if earlier is None:
        return list(units)
    exact = [replace(unit, earlier=(unit.features,)) if unit.features in earlier.digests else unit for unit in units]
    if all(unit.earlier for unit in exact):
        return exact
    where = {digest: key for key in earlier.digests for digest in digests_in(earlier.store, key)}

    def keys(unit: Unit) -> tuple[str, ...]:
        return tuple(dict.fromkeys(where[digest] for digest in unit.table["sha256"].to_pylist() if digest in where))

    return [unit if unit.earlier else replace(unit, earlier=keys(unit)) for unit in exact]


def digests_in(store: Store, key: str) -> list[str]:
    """The pictures that an object of features is of."""
    try:
        return pq.read_table(store.open(key), columns=["sha256"])["sha256"].to_pylist()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise damaged_features(store, key, type(error).__name__) from None


def pending(store: Store, units: Iterable[Unit]) -> list[Unit]:
    """Those that are not stored yet."""
    stored = {found.key for prefix in ("features/", COMMITS) for found in store.list(prefix)}
    return [unit for unit in units if not unit.keys <= stored]


@dataclass(frozen=True)
class EvaluateWorker:
    """Reads a unit's pictures on a worker, where it travels with places and settings."""

    out: Store
    extractor: str
    size: int  # px at which copies and findings are seen; the extractor is given pictures as they are stored
    threads: int
    earlier: Earlier | None

    def __call__(self, number: int, pickled: bytes, index: TrainingImageIndex, predict: Predict) -> dict[str, Any]:
        """Computes and stores what is measured of a unit's pictures. The same unit gives the same bytes, so that
        whoever comes second changes nothing.

        Args:
            index: of the training pictures, to which synthetic ones are compared.
            predict: the probabilities that classifiers of real pictures give.
        """
        unit: Unit = pickle.loads(pickled)
        digests, known = unit.table["sha256"].to_pylist(), self.known(unit)
        fresh = [row for row, digest in enumerate(digests) if digest not in known]
        wanted = list(range(len(digests))) if unit.inspected else fresh
        if wanted:
            pixels = read_unscaled(unit.store, unit.table.take(pa.array(wanted, pa.int32())))
        if fresh:
            values = extractor_here(self.extractor)(pixels[fresh] if unit.inspected else pixels)
            known |= dict(zip((digests[row] for row in fresh), values, strict=True))
        self.out.put(unit.features, features_file(digests, np.stack([known[digest] for digest in digests])))
        if unit.inspected:
            sized = np.stack([fit_square(picture, self.size, "keep") for picture in pixels])
            self.out.put(unit.inspected, parquet(inspect_images(sized, index, predict, self.threads)))
        return {"images": len(digests), "fresh": len(fresh)}

    def known(self, unit: Unit) -> dict[str, np.ndarray]:
        """Features float32 [d] that an earlier evaluation has, by the picture's sha256."""
        known: dict[str, np.ndarray] = {}
        if self.earlier is None:
            return known
        for key in unit.earlier:
            data = self.earlier.store.get(key)
            if sha256(data) != self.earlier.digests[key]:
                raise damaged_features(self.earlier.store, key, "not what its record names")
            known |= dict(zip(*features_in(data), strict=True))
        return known


def inspect_images(pixels: np.ndarray, index: TrainingImageIndex, predict: Predict, threads: int) -> pa.Table:
    """Of synthetic pictures uint8 [N, H, W] the nearest training picture, and what classifiers predict of each."""
    found = index.nearest(pixels, threads=threads)
    columns = [found.scores.astype(np.float32), found.rows, found.mirrored, predict(pixels).tolist()]
    return pa.table([pa.array(column) for column in columns], names=INSPECTED.names).cast(INSPECTED)


def features_file(digests: Sequence[str], values: np.ndarray) -> bytes:
    """Of features float32 [N, d] and the sha256 of the pictures that they are of."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return parquet(pa.table({"sha256": digests, "features": column}))


def features_in(data: bytes) -> tuple[list[str], np.ndarray]:
    table = read_parquet(data)
    return table["sha256"].to_pylist(), np.stack(table["features"].combine_chunks().to_numpy(zero_copy_only=False))


def damaged_features(store: Store, key: str, why: str) -> BadInput:
    return BadInput(f"{store.uri}: {key} holds no features of these pictures ({why}); remove it")
