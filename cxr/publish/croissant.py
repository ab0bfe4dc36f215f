"""`croissant.json`: what a published set holds, for machines (MLCommons Croissant 1.0).

How it was made, what it may show and what it is not for stand there in its vocabulary for responsible AI (RAI 1.0).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.artifact.keys import CATALOG_KEY
from cxr.publish.formats import FormatName
from cxr.store import StoredObject

CROISSANT_KEY = "croissant.json"
CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
CONTEXT = Path(__file__).with_name("croissant_context.json")
PARQUET = "application/x-parquet"
FILES = {  # of each form its files, and what they are
    "parquet": ("data/*.parquet", PARQUET),
    "webdataset": ("data/*.tar", "application/x-tar"),
    "imagefolder": ("images/*/*.png", "image/png"),
    "dicom": ("dicom/*/*.dcm", "application/dicom"),
}
COLUMNS = {  # of the catalog: its type there, and what it holds
    "image_id": ("sc:Text", "The picture's id"),
    "key": ("sc:Text", "The file that holds it"),
    "finding": ("sc:Text", "The findings that it was asked for, joined by +"),
    "present": ("sc:Text", "Findings that it was asked to show"),
    "absent": ("sc:Text", "Findings that it was asked not to show"),
    "view": ("sc:Text", "The view that was asked for, if one was"),
    "sex": ("sc:Text", "F or M, if one was asked for"),
    "age": ("sc:Integer", "In years, if one was asked for"),
    "sha256": ("sc:Text", "Of the picture's file"),
}
REPEATED = ("present", "absent")


def encode_croissant(
    form: FormatName, catalog: StoredObject, name: str, about: Mapping[str, str | list[str]], licence: str
) -> bytes:
    """The file. Places in it are relative to it.

    Args:
        about: what RAI's terms say of the set, by term.
    """
    pattern, kind = FILES[form]
    content = {
        "@context": json.loads(CONTEXT.read_text(encoding="utf-8")),
        "@type": "sc:Dataset",
        "name": name,
        "description": "Chest X-rays that a diffusion model generated from texts. Not for clinical use.",
        "conformsTo": CONFORMS_TO,
        "license": licence,
        "keywords": ["chest X-ray", "synthetic"],
        **{f"rai:{term}": told for term, told in about.items()},
        "distribution": [
            {
                "@type": "cr:FileObject", "@id": "catalog", "name": "catalog", "contentUrl": CATALOG_KEY,
                "encodingFormat": PARQUET, "sha256": catalog.sha256, "contentSize": f"{catalog.size} B",
            },
            {"@type": "cr:FileSet", "@id": "files", "name": "files", "includes": pattern, "encodingFormat": kind},
        ],
        "recordSet": [record_set("catalog", catalog_fields()), *picture_records(form)],
    }  # fmt: skip
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def record_set(name: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": f"{name}-rows", "name": f"{name}-rows", "field": fields}


def catalog_fields() -> list[dict[str, Any]]:
    """A row a picture; lists of findings are repeated."""
    return [
        field(f"catalog-rows/{name}", kind, {"fileObject": {"@id": "catalog"}, "extract": {"column": name}}, told)
        | ({"repeated": True} if name in REPEATED else {})
        for name, (kind, told) in COLUMNS.items()
    ]


def picture_records(form: FormatName) -> list[dict[str, Any]]:
    """The pictures themselves, in the forms that Croissant can open."""
    files = {"fileSet": {"@id": "files"}}
    if form == "parquet":
        of_picture = {**files, "extract": {"column": "image"}, "transform": {"jsonPath": "bytes"}}
        others = [
            field(f"picture-rows/{name}", "sc:Text", {**files, "extract": {"column": name}}, COLUMNS[name][1])
            for name in ("image_id", "finding")
        ]
    elif form == "imagefolder":
        of_picture = {**files, "extract": {"fileProperty": "content"}}
        named = {**files, "extract": {"fileProperty": "filename"}, "transform": {"regex": r"^(.*)\.png$"}}
        others = [field("picture-rows/image_id", "sc:Text", named, COLUMNS["image_id"][1])]
    else:
        return []
    return [record_set("picture", [field("picture-rows/image", "sc:ImageObject", of_picture, "8-bit gray"), *others])]


def field(name: str, kind: str, source: dict[str, Any], told: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": name, "name": name, "description": told, "dataType": kind, "source": source}
