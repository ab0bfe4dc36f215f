"""The tables of a filtered set: which pictures are in it, and where those lie that are not."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.artifact import listed_units, unit_key
from cxr.artifact.keys import CANDIDATES_KEY, CATALOG_KEY, IMAGES, METADATA_KEY, PLAN_KEY, REFUSED
from cxr.data.candidates import CANDIDATES, VERDICT, VERDICTS, FilterConfig
from cxr.data.catalog import CATALOG, image_key
from cxr.errors import StoreError
from cxr.generate.plan import Plan, PlanReader
from cxr.generate.quota import units_by_finding, within_quota
from cxr.generate.writer import READ_THREADS, Image, catalog_row, metadata_line, read_commit
from cxr.store import Store, StoredObject, parquet, read_parquet, sha256


@dataclass(frozen=True)
class FilteredTables:
    """What was written of a filtered set."""

    candidates: pa.Table  # of schema CANDIDATES
    features: np.ndarray  # float32 [M, d], of the same
    bytes: int  # of the accepted pictures
    objects: list[StoredObject]
    shown: dict[str, list[dict[str, Any]]]  # by finding the first accepted rows, with `prompt`


def made_rows(store: Store, reader: PlanReader, unit: int) -> pa.Table:
    """The pictures of a stored unit, of schema CATALOG, to be judged."""
    made = zip(reader.rows(unit), read_commit(store, unit), strict=True)
    return pa.Table.from_pylist([catalog_row(row, image, "", "") for row, image in made], schema=CATALOG)


def count_accepted(store: Store) -> dict[int, int]:
    """By unit that was judged, how many of its pictures are accepted."""
    units = sorted(listed_units(store, VERDICTS))
    with ThreadPoolExecutor(READ_THREADS) as threads:
        verdicts = threads.map(lambda unit: read_verdicts(store, unit), units)
        return {unit: sum(table["accepted"].to_pylist()) for unit, table in zip(units, verdicts, strict=True)}


def read_verdicts(store: Store, unit: int) -> pa.Table:
    """Of a unit's pictures, of schema VERDICT."""
    key = unit_key(VERDICTS, unit, ".parquet")
    table = read_parquet(store.get(key))
    if table.schema != VERDICT:
        raise StoreError(f"{store.uri}: {key} is damaged or of another version; remove it and run the same again")
    return table


def write_filtered_tables(
    store: Store, filter: FilterConfig, plan: Plan, reader: PlanReader, source: str, licence: str, most: int
) -> FilteredTables:
    """Writes catalog, candidates and metadata, and stores refused pictures where no reader of the set looks. Where they
    lay before, `sweep_refused` removes them once the record is written.

    Args:
        most: rows of each finding in `shown`.
    """
    judged = {*listed_units(store, VERDICTS)}
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    features: list[np.ndarray] = []
    shown: dict[str, list[dict[str, Any]]] = {}
    size = 0
    for finding, units in units_by_finding(plan).items():
        found = [judge_unit(store, reader, unit) for unit in units if unit in judged]
        made = [one for one_unit, _ in found for one in one_unit]
        count = within_quota(np.array([verdict["accepted"] for *_, verdict in made], bool), filter.quota or 0)
        features.append(np.concatenate([values for _, values in found])[:count] if found else np.empty((0, 0)))
        for row, image, verdict in made[:count]:
            listed = catalog_row(row, image, source, licence) | verdict
            if verdict["accepted"]:
                size += image.size
                lines.append(metadata_line(row, image))
                shown.setdefault(finding, []).append(row)
            else:
                listed["key"] = refused_key(row["finding"], row["image_id"])
            rows.append(listed)
    move_refused(store, rows)
    candidates = pa.Table.from_pylist(rows, schema=CANDIDATES)
    catalog = candidates.filter(candidates["accepted"]).select(CATALOG.names)
    pieces = {
        CATALOG_KEY: parquet(catalog), CANDIDATES_KEY: parquet(candidates), METADATA_KEY: "".join(lines).encode()
    }  # fmt: skip
    objects = [store.put(key, data) for key, data in pieces.items()]
    first = {finding: rows[:most] for finding, rows in shown.items()}
    return FilteredTables(candidates, np.concatenate([one for one in features if one.size]), size, objects, first)


def judge_unit(
    store: Store, reader: PlanReader, unit: int
) -> tuple[list[tuple[dict[str, Any], Image, dict[str, Any]]], np.ndarray]:
    """What was asked, made and found of each picture of a unit, and their features, float32 [n, d]."""
    table = read_verdicts(store, unit)
    verdicts = table.drop_columns("features").to_pylist()
    values = table["features"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    return [*zip(reader.rows(unit), read_commit(store, unit), verdicts, strict=True)], values


def refused_key(folder: str, image_id: str) -> str:
    return f"{REFUSED}{folder}/{image_id}.png"


def move_refused(store: Store, rows: list[dict[str, Any]]) -> None:
    """Stores each refused picture under its key, unless it is there."""
    there = {found.key for found in store.list(REFUSED)}

    def copy(row: dict[str, Any]) -> None:
        data = store.get(image_key(row["finding"], row["image_id"]))
        if sha256(data) != row["sha256"]:
            raise StoreError(f"{store.uri}: {row['image_id']} is damaged; remove its unit and run the same again")
        store.put(row["key"], data)

    with ThreadPoolExecutor(READ_THREADS) as threads:
        list(threads.map(copy, (row for row in rows if not row["accepted"] and row["key"] not in there)))


def sweep_refused(store: Store) -> None:
    """Removes from a finished set's images those of its plan that are not in it: refused ones, whose files lie
    elsewhere by now, and those that were made beyond the quota."""
    kept = read_column(store, CATALOG_KEY, "key")
    planned = read_column(store, PLAN_KEY, "image_id")
    store.delete([
        found.key for found in store.list(IMAGES)
        if found.key not in kept and PurePosixPath(found.key).stem in planned
    ])  # fmt: skip


def read_column(store: Store, key: str, name: str) -> set[str]:
    return set(pq.read_table(store.open(key), columns=[name])[name].to_pylist())
