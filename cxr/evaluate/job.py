"""What `jobs/evaluate.py` is made of, without Ray: sets in units, a worker's part, and what all units say together.

A unit's pictures are read once for everything that is asked of them. Their features lie below `features/`, named by
what they are of, and stay with the evaluation, so that another one can use them again; what else was seen in synthetic
pictures lies below `commits/` until the record is written. What is stored is not done again after a crash.
"""

import functools
import io
import pickle
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.artifact import read_record, unit_key
from cxr.artifact.keys import COMMITS
from cxr.artifact.kinds import EVALUATION
from cxr.data.catalog import read_unscaled
from cxr.data.images import fit_square
from cxr.errors import BadInput
from cxr.evaluate import pictures as show
from cxr.evaluate import quality
from cxr.evaluate.agreement import Namer, agree
from cxr.evaluate.calibration import Yardstick, judge, too_few
from cxr.evaluate.copies import Matches, Originals
from cxr.evaluate.features import Extractor, extractor_of
from cxr.evaluate.finish import Concluded, Job, copies_table
from cxr.evaluate.frechet import Moments, moments
from cxr.evaluate.quality import Features
from cxr.evaluate.sets import rows_of, side_of
from cxr.store import Store, StoredObject, parquet, sha256
from cxr.tables import batched

UNIT = 256  # pictures
AT_ONCE = 8  # units that are read together
SHOWN_STREAM, SIDES_STREAM = 1_000_002, 1_000_003  # last word of a seed; findings have those from 0
COLUMNS = ["image_id", "key", "finding", "sha256"]  # of the catalog, that a worker needs
SEEN = pa.schema([("score", pa.float32()), ("row", pa.int32()), ("mirrored", pa.bool_()), ("named", pa.int32())])

extractor_here = functools.cache(extractor_of)  # of a worker's process


@dataclass(frozen=True)
class Unit:
    """Some pictures of a set, which one worker reads together."""

    store: Store
    table: pa.Table  # their rows of the catalog, COLUMNS
    features: str  # key of their features
    seen: str | None  # key of what is seen in them; None for real pictures
    earlier: tuple[str, ...] = ()  # keys of an earlier evaluation's features among which theirs are

    @property
    def keys(self) -> set[str]:
        return {key for key in (self.features, self.seen) if key is not None}


@dataclass(frozen=True)
class Earlier:
    """A finished evaluation whose features are used again."""

    store: Store
    digests: dict[str, str]  # sha256 of each object of features, by its key


def earlier_of(job: Job, store: Store) -> Earlier:
    """Raises `BadInput` unless there is a finished evaluation."""
    record = read_record(store)
    if record is None or record.kind != EVALUATION:
        raise BadInput(f"--features {store.uri}: holds no finished evaluation; give one, or leave it out")
    found = {stored.key: stored.sha256 for stored in record.objects if stored.key.startswith(folder_of(job))}
    return Earlier(store, found)


def folder_of(job: Job) -> str:
    """Where all features of these weights lie, of pictures as they are stored."""
    return f"features/{job.recipe['extractor'][:32]}/stored/"


@dataclass(frozen=True)
class Units:
    """Of both sets, in their order."""

    real: list[Unit]
    synthetic: list[Unit]


def units_of(job: Job, size: int = UNIT) -> Units:
    """So many pictures each, the last one fewer."""
    parts = job.real.table, job.synthetic.table
    stores = job.real.store, job.synthetic.store
    real, synthetic = (
        [
            Unit(store, rows, features_key(job, rows["sha256"].to_pylist()), None)
            for rows in (part.slice(start, size).combine_chunks() for start in range(0, len(part), size))
        ]
        for store, part in zip(stores, (part.select(COLUMNS) for part in parts), strict=True)
    )
    seen = (unit_key(COMMITS, number, ".parquet") for number in range(len(synthetic)))
    return Units(real, [replace(unit, seen=key) for unit, key in zip(synthetic, seen, strict=True)])


def features_key(job: Job, digests: Sequence[str]) -> str:
    """Where features lie: by the weights, and the pictures' files in order."""
    return f"{folder_of(job)}{sha256(' '.join(digests).encode())[:32]}.parquet"


def told_earlier(units: Sequence[Unit], earlier: Earlier | None) -> list[Unit]:
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
        raise damaged(store, key, type(error).__name__) from None


def pending(store: Store, units: Iterable[Unit]) -> list[Unit]:
    """Those that are not stored yet."""
    stored = {found.key for prefix in ("features/", COMMITS) for found in store.list(prefix)}
    return [unit for unit in units if not unit.keys <= stored]


@dataclass(frozen=True)
class Look:
    """A worker's part; travels to it with places and settings."""

    out: Store
    extractor: str
    size: int  # px at which copies and findings are seen; the extractor is given pictures as they are stored
    threads: int
    earlier: Earlier | None

    def __call__(
        self, number: int, pickled: bytes, originals: Originals, name: Callable[[np.ndarray], np.ndarray] | None
    ) -> dict[str, Any]:
        """Looks at a unit's pictures and stores what is seen. The same unit gives the same bytes, so that whoever comes
        second changes nothing.

        Args:
            originals: to which synthetic pictures are compared.
            name: a classifier of real pictures; None where there is none.
        """
        unit: Unit = pickle.loads(pickled)
        digests, known = unit.table["sha256"].to_pylist(), self.known(unit)
        fresh = [row for row, digest in enumerate(digests) if digest not in known]
        wanted = list(range(len(digests))) if unit.seen else fresh
        if wanted:
            pixels = read_unscaled(unit.store, unit.table.take(pa.array(wanted, pa.int32())))
        if fresh:
            values = extractor_here(self.extractor)(pixels[fresh] if unit.seen else pixels)
            known |= dict(zip((digests[row] for row in fresh), values, strict=True))
        self.out.put(unit.features, features_file(digests, np.stack([known[digest] for digest in digests])))
        if unit.seen:
            sized = np.stack([fit_square(picture, self.size, "keep") for picture in pixels])
            self.out.put(unit.seen, parquet(seen_in(sized, originals, name, self.threads)))
        return {"images": len(digests), "fresh": len(fresh)}

    def known(self, unit: Unit) -> dict[str, np.ndarray]:
        """Features float32 [d] that an earlier evaluation has, by the picture's sha256."""
        known: dict[str, np.ndarray] = {}
        if self.earlier is None:
            return known
        for key in unit.earlier:
            data = self.earlier.store.get(key)
            if sha256(data) != self.earlier.digests[key]:
                raise damaged(self.earlier.store, key, "not what its record names")
            known |= dict(zip(*features_in(data), strict=True))
        return known


def seen_in(
    pixels: np.ndarray, originals: Originals, name: Callable[[np.ndarray], np.ndarray] | None, threads: int
) -> pa.Table:
    """Of synthetic pictures uint8 [N, H, W] the nearest training picture each, and the finding that is seen."""
    found = originals.nearest(pixels, threads=threads)
    named = np.full(len(pixels), -1) if name is None else name(pixels)
    return pa.table([found.scores.astype(np.float32), found.rows, found.mirrored, named], names=SEEN.names).cast(SEEN)


def features_file(digests: Sequence[str], values: np.ndarray) -> bytes:
    """Of features float32 [N, d] and the sha256 of the pictures that they are of."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return parquet(pa.table({"sha256": digests, "features": column}))


def features_in(data: bytes) -> tuple[list[str], np.ndarray]:
    table = pq.read_table(io.BytesIO(data))
    return table["sha256"].to_pylist(), np.stack(table["features"].combine_chunks().to_numpy(zero_copy_only=False))


def damaged(store: Store, key: str, why: str) -> BadInput:
    return BadInput(f"{store.uri}: {key} holds no features of these pictures ({why}); remove it")


# --- together ---


def conclude(
    job: Job,
    units: Units,
    findings: Sequence[str],
    known: Yardstick,
    namer: Namer | None,
    extractor: Extractor,
    left_out: Sequence[str],
    advance: Callable[[int], object],
) -> Concluded:
    """Every figure of units that are all stored. What is drawn, is drawn before their features are read: of the others
    only sums are kept."""
    config, against = job.config, job.against
    real, synthetic = (side_of(found, config.size) for found in (job.real, job.synthetic))
    parts = rows_of(real.splits, against), np.arange(len(synthetic.ids))
    groups = quality.choose(real, parts[0], synthetic, findings, config)
    shown = show.choose(*parts, config.max_samples, np.random.default_rng([config.seed, SHOWN_STREAM]))
    rng = np.random.default_rng([config.seed, SIDES_STREAM])
    sides = quality.choose_sides(real, findings, config, rng)
    used = [np.unique(np.concatenate([*(group.rows[side] for group in groups), shown.rows[side]])) for side in (0, 1)]
    used[0] = np.union1d(used[0], np.concatenate(sides)) if sides else used[0]
    gathered = (
        gather(job.store, side, rows, part, findings)
        for side, rows, part in zip((units.real, units.synthetic), used, parts, strict=True)
    )
    features, objects = zip(*gathered, strict=True)
    measured = []
    for group in groups:
        measured.append(quality.measure(group, real, synthetic, features, extractor, config))
        advance(1)
    near = quality.measure_sides(sides, groups[0], real, features, config, rng)
    matches, named = gather_seen(job.store, units.synthetic, known.rows)
    copies = judge(known, synthetic.findings, matches)
    agreed = agree(namer, synthetic.findings, named) if namer else None
    origin = quality.origin_notes(job.real, job.synthetic)
    found = quality.Quality(
        extractor.name, extractor.digest, extractor.dimension, quality.source_of(job.real),
        quality.source_of(job.synthetic), against, measured, near, agreed, copies, too_few(len(known.rows)),
        [*origin, *filter(None, [job.generator]), *left_out,
         *quality.notes_of(measured, near, agreed, copies, extractor.dimension)],
    )  # fmt: skip
    drawn = show.draw(found, real, parts[0], synthetic, shown, features, (matches, known.unrelated), config.neighbours)
    table = copies_table(real, synthetic, matches, known.threshold)
    return Concluded(found, table, drawn, [*(objects[0] | objects[1]).values()])


def gather(
    store: Store, units: Iterable[Unit], rows: np.ndarray, part: np.ndarray, findings: Sequence[str]
) -> tuple[Features, dict[str, StoredObject]]:
    """The features of all units of a set in their order: of these rows of it, int [R] ascending, and sums over each of
    the findings in the rows of a part, int [P] ascending; some units are in memory at a time. Also what was read, by
    key."""
    sums: dict[str, Moments] = {}
    objects: dict[str, StoredObject] = {}
    values, start = [], 0
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for group in batched(units, AT_ONCE):
            read, stored = zip(*threads.map(functools.partial(read_features, store), group), strict=True)
            found = np.concatenate(read)
            shown = np.concatenate([unit.table["finding"].to_numpy() for unit in group])
            here, counted = (
                chosen[(start <= chosen) & (chosen < start + len(found))] - start for chosen in (rows, part)
            )
            values.append(found[here])
            for finding in set(findings) & set(shown[counted]):
                added = moments(found[counted[shown[counted] == finding]])
                sums[finding] = sums[finding] + added if finding in sums else added
            objects |= {one.key: one for one in stored}
            start += len(found)
    return Features(rows, np.concatenate(values), sums), objects


def read_features(store: Store, unit: Unit) -> tuple[np.ndarray, StoredObject]:
    data = store.get(unit.features)
    try:
        digests, values = features_in(data)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise damaged(store, unit.features, type(error).__name__) from None
    if digests != unit.table["sha256"].to_pylist():
        raise damaged(store, unit.features, "of others")
    return values, StoredObject(unit.features, len(data), sha256(data))


def gather_seen(store: Store, units: Iterable[Unit], train: np.ndarray) -> tuple[Matches, np.ndarray]:
    """Of all synthetic pictures the nearest training picture and the finding that is seen, int [M].

    Args:
        train: int [T], the training pictures' rows in the real set, which the matches then name.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        tables = list(threads.map(lambda unit: pq.read_table(io.BytesIO(store.get(unit.seen))), units))
    scores, rows, mirrored, named = (column.to_numpy() for column in pa.concat_tables(tables).columns)
    return Matches(scores, train[rows], mirrored), named
