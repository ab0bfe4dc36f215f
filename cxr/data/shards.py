"""Parquet files of pictures that `datasets` opens as pictures."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as `datasets` stores an image
GROUP = 100  # pictures of a row group, which is what a reader that streams holds at once


def image_features(schema: pa.Schema, own: Mapping[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """The columns in `datasets`' words: strings, numbers, lists of strings, and pictures.

    Args:
        own: features of columns that the type alone does not tell.
    """
    return {field.name: (own or {}).get(field.name) or _feature(field.type) for field in schema}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
    return {"dtype": str(kind), "_type": "Value"}


def encode_shard(table: pa.Table, features: Mapping[str, Any]) -> bytes:
    """The Parquet file of a table of pictures. PNG does not shrink, so nothing is compressed."""
    sink = io.BytesIO()
    marked = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(marked, sink, compression="none", row_group_size=GROUP)
    return sink.getvalue()
