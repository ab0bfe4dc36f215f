"""The four forms that pictures are handed on in. Each packs a unit of rows, and the same rows give the same bytes."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pyarrow as pa

from cxr.data.catalog import CATALOG, image_key
from cxr.data.images import decode_gray
from cxr.data.labels import LISTS, Vocabulary
from cxr.data.shards import IMAGE, encode_shard, image_features
from cxr.publish.dicom import DICOM, encode_dicom
from cxr.store import sha256

FormatName = Literal["parquet", "imagefolder", "dicom", "webdataset"]
FORMAT_NAMES: tuple[str, ...] = get_args(FormatName)
SHARDED = ("parquet", "webdataset")  # forms of many pictures an object
DATA = "data/"  # where `datasets` looks for shards
TOLD = ("image_id", "finding", *LISTS, "prompt", "view", "sex", "age")  # of each picture


@dataclass(frozen=True)
class Unit:
    """A run of pictures that is written together."""

    number: int
    count: int  # units of the whole set
    rows: Sequence[Mapping[str, Any]]  # of the public catalog
    files: Sequence[bytes]  # PNG
    vocabulary: Vocabulary
    set_digest: str


@dataclass(frozen=True)
class Packed:
    """Objects by their keys; and for each picture the key of its object and the sha256 of its file in there."""

    objects: dict[str, bytes]
    pictures: list[tuple[str, str]]


def told_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row["text" if name == "prompt" else name] for name in TOLD}


def shard_name(unit: Unit, suffix: str) -> str:
    return f"{DATA}train-{unit.number:05d}-of-{unit.count:05d}{suffix}"


def pack_parquet(unit: Unit) -> Packed:
    """A Parquet file that `datasets` opens: the picture, its labels and prompt; one class label where findings exclude
    each other."""
    lists = [(name, CATALOG.field("text" if name == "prompt" else name).type) for name in TOLD]
    labels = [("label", pa.int64())] if unit.vocabulary.exclusive else []
    schema = pa.schema([("image", IMAGE), *labels, *lists, ("sha256", pa.string())])
    names = list(unit.vocabulary.findings)
    rows = [
        {
            **told_of(row),
            "image": {"bytes": file, "path": f"{row['image_id']}.png"},
            "label": names.index(row["finding"]) if row["finding"] in names else -1,
            "sha256": sha256(file),
        }
        for row, file in zip(unit.rows, unit.files, strict=True)
    ]
    features = image_features(schema, {"label": {"names": names, "_type": "ClassLabel"}})
    return pack_shard(unit, ".parquet", encode_shard(pa.Table.from_pylist(rows, schema), features))


def pack_webdataset(unit: Unit) -> Packed:
    """A tar file of `ID.png` and `ID.json`, without times and owners."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, file in zip(unit.rows, unit.files, strict=True):
            told = json.dumps(told_of(row), ensure_ascii=False, sort_keys=True).encode()
            for suffix, data in (("png", file), ("json", told)):
                entry = tarfile.TarInfo(f"{row['image_id']}.{suffix}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return pack_shard(unit, ".tar", sink.getvalue())


def pack_shard(unit: Unit, suffix: str, data: bytes) -> Packed:
    key = shard_name(unit, suffix)
    return Packed({key: data}, [(key, sha256(file)) for file in unit.files])


def pack_imagefolder(unit: Unit) -> Packed:
    """A PNG file a picture, in a folder by its finding."""
    return pack_files(unit, [image_key(row["finding"], row["image_id"]) for row in unit.rows], unit.files)


def pack_dicom(unit: Unit) -> Packed:
    """A DICOM file a picture, in a folder by its finding."""
    files = [
        encode_dicom(row, decode_gray(file, row["image_id"]), unit.set_digest)
        for row, file in zip(unit.rows, unit.files, strict=True)
    ]
    return pack_files(unit, [f"{DICOM}{row['finding']}/{row['image_id']}.dcm" for row in unit.rows], files)


def pack_files(unit: Unit, keys: Sequence[str], files: Sequence[bytes]) -> Packed:
    return Packed(dict(zip(keys, files, strict=True)), list(zip(keys, map(sha256, files), strict=True)))


FORMATS: dict[str, Callable[[Unit], Packed]] = {
    "parquet": pack_parquet, "imagefolder": pack_imagefolder, "dicom": pack_dicom, "webdataset": pack_webdataset,
}  # fmt: skip
