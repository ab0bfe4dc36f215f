"""The pictures of a page: thumbnails side by side in sheets, and each picture itself, at its own size."""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from cxr.browse.gallery import Shown
from cxr.browse.privacy import check_mark
from cxr.data.catalog import group_by_key, read_files
from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, decode_gray, encode_png, fit_square
from cxr.store import Store, StoredObject

SIDE, ACROSS = 128, 16  # px of a thumbnail; thumbnails in a row of a sheet, and rows
PER_SHEET = ACROSS**2
QUALITY = 80  # of the sheets' JPEG: 2.2 kB a thumbnail of an X-ray
BYTES_A_THUMBNAIL = 2300
PNG_SIGNATURE = 8  # bytes


@dataclass(frozen=True)
class Sheet:
    """What was stored of a sheet's pictures."""

    objects: list[StoredObject]
    seeds: list[str | None]  # of each picture, in the rows' order


def sheet_key(number: int, sheet: int) -> str:
    return f"sheets/{number}/{sheet:05d}.jpg"


def picture_key(number: int, row: int) -> str:
    return f"pictures/{number}/{row:06d}.png"


def store_sheet(
    store: Store, shown: Shown, number: int, sheet: int, full: bool, advance: Callable[[int], object]
) -> Sheet:
    """Stores a sheet of thumbnails and, if asked for, its pictures. One picture is in memory at a time.

    Args:
        number: of the set in the page.
        sheet: of the set's sheets.

    Raises:
        BadInput: a picture is missing or damaged, or bears no mark where the page would say that all are generated.
    """
    start = sheet * PER_SHEET
    rows = shown.rows.slice(start, PER_SHEET)
    place = {image_id: row for row, image_id in enumerate(rows["image_id"].to_pylist())}
    whole = np.zeros((-(-len(rows) // ACROSS) * SIDE, ACROSS * SIDE), np.uint8)
    seeds: list[str | None] = [None] * len(rows)
    texts = {XMP_KEYWORD: GENERATED_XMP} if shown.given.is_synthetic else {}

    objects = []
    for part in group_by_key(rows):
        for image_id, data in read_files(shown.given.store, part):
            name, row = f"{shown.given.store.uri}: {image_id}", place[image_id]
            if texts and not shown.private:
                check_mark(data, name)
            pixels = decode_gray(data, name)
            top, left = (SIDE * at for at in divmod(row, ACROSS))
            whole[top : top + SIDE, left : left + SIDE] = fit_square(pixels, SIDE, "keep")
            seeds[row] = read_seed(data) if texts else None
            if full:  # anew from its pixels: no other text goes along
                objects.append(store.put(picture_key(number, start + row), encode_png(pixels, texts)))
            advance(1)
    file = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    objects.append(store.put(sheet_key(number, sheet), file))
    return Sheet(sorted(objects, key=lambda stored: stored.key), seeds)


def read_seed(png: bytes) -> str | None:
    """The seed in what a generated picture says of its making; in words, as it can have 63 bits."""
    for kind, body in chunks_before_pixels(png):
        if kind == b"iTXt" and body.startswith(b"cxr\0"):
            try:
                seed = json.loads(body[len(b"cxr\0\0\0\0\0") :])["seed"]
            except (ValueError, KeyError, TypeError, RecursionError):
                return None
            return str(seed) if isinstance(seed, int) else None
    return None


def chunks_before_pixels(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, body) of the chunks of a PNG file, up to its pixels."""
    at = PNG_SIGNATURE
    while at + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind == b"IDAT":
            return
        yield kind, png[at + 8 : at + 8 + length]
        at += 12 + length
