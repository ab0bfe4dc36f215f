"""A first look at a set: a row of pictures for each finding."""

import io
from collections.abc import Iterable, Mapping
from itertools import islice

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

COLUMNS = 8
SIDE = 128  # px of a picture
ROWS = 20  # findings at most
LABEL_HEIGHT = 20  # px


def contact_sheet(files: Mapping[str, Iterable[bytes]]) -> bytes:
    """A PNG: under each finding's name its first pictures, side by side.

    Args:
        files: pictures as files, for each finding; of more than `COLUMNS` and `ROWS`, the first are shown.
    """
    rows = {finding: thumbnails(pictures) for finding, pictures in list(files.items())[:ROWS]}
    height = SIDE + LABEL_HEIGHT
    sheet = Pillow.new("L", (max(map(len, rows.values())) * SIDE, len(rows) * height), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for y, (finding, pictures) in enumerate(rows.items()):
        draw.text((4, y * height + 1), finding.replace("_", " "), fill=0, font=font)
        for x, picture in enumerate(pictures):
            sheet.paste(picture, (x * SIDE, y * height + LABEL_HEIGHT))
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def thumbnails(files: Iterable[bytes]) -> list[Pillow.Image]:
    return [
        Pillow.open(io.BytesIO(file)).resize((SIDE, SIDE), Pillow.Resampling.LANCZOS) for file in islice(files, COLUMNS)
    ]
