"""Finished sets of images, stored by hand: for what reads sets, whoever made them."""

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.artifact.keys import CATALOG_KEY
from cxr.data.catalog import CATALOG, CatalogSet, image_key, read_set
from cxr.data.images import encode_png
from cxr.data.labels import LISTS, Labels
from cxr.store import Store, digest_of, open_store, sha256


def label_columns(labels: Sequence[Labels], findings: Sequence[str]) -> dict[str, list]:
    """What `stored_set` takes of pictures that can show several of these findings."""
    lists = [one.as_columns(findings) for one in labels]
    columns = {name: [one[name] for one in lists] for name in LISTS}
    vocabulary = {"vocabulary": list(findings), "exclusive": False}
    return {"metrics": vocabulary, "finding": [one.folder(findings) for one in labels], **columns}


@pytest.fixture(scope="session")
def stored_set(tmp_path_factory: pytest.TempPathFactory):
    """`stored_set(name, pixels, **columns)`: uint8 [N, H, W] as a finished set; `shards` packs 4 pictures a file."""

    def store_set(
        name: str, pixels: np.ndarray, shards: bool = False, metrics: dict | None = None, **columns: Sequence
    ) -> CatalogSet:
        store = open_store(str(tmp_path_factory.mktemp("sets") / name))
        ids = [f"{name}-{row:04d}" for row in range(len(pixels))]
        findings = columns.setdefault("finding", ["normal"] * len(pixels))
        files = [encode_png(picture) for picture in pixels]
        if shards:
            keys = [f"shards/{row // 4}.parquet" for row in range(len(ids))]
            stored = put_shards(store, keys, ids, files)
        else:
            keys = [image_key(*named) for named in zip(findings, ids, strict=True)]
            stored = []  # the catalog lists them
            for key, file in zip(keys, files, strict=True):
                store.put(key, file)
        told = {"image_id": ids, "key": keys, "sha256": [*map(sha256, files)], "source": ["s"] * len(ids), **columns}
        rows = [dict(zip(told, values, strict=True)) for values in zip(*told.values(), strict=True)]
        sink = io.BytesIO()
        table = pa.Table.from_pylist(rows, schema=CATALOG)
        if "present" not in told:  # as version 0.1 wrote it, with findings that exclude each other
            table = table.drop_columns(LISTS)
        pq.write_table(table, sink)
        objects = [store.put(CATALOG_KEY, sink.getvalue()), *stored]
        made = Made(count=len(ids), bytes=0, digest=digest_of(zip(told["image_id"], told["sha256"], strict=True)))
        recipe = {"set": name}
        digest = recipe_digest(recipe)
        told = Record(
            kind="set", recipe=recipe, recipe_digest=digest, made=made, objects=objects, metrics=metrics or {}
        )
        commit_record(store, told)
        return read_set(store)

    return store_set


def put_shards(store: Store, keys: list[str], ids: list[str], files: list[bytes]) -> list:
    stored = []
    for key in dict.fromkeys(keys):
        rows = [row for row, other in enumerate(keys) if other == key]
        images = [{"bytes": files[row], "path": f"{ids[row]}.png"} for row in rows]
        sink = io.BytesIO()
        pq.write_table(pa.table({"image": images, "image_id": [ids[row] for row in rows]}), sink)
        stored.append(store.put(key, sink.getvalue()))
    return stored
