"""Pictures under each other, a line of text above each row."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from PIL import Image, ImageDraw, ImageFont

COLUMNS, ROWS = 8, 20  # pictures of a finding, and findings, at most
FONT = 14
SIDE, LINE, GAP = 128, 20, 16  # px of a picture, of a line of text, and between two blocks
LINES = 4  # of text above a row, at most


@dataclass(frozen=True)
class Row:
    """Text, and below it blocks of pictures with a gap between; a caption under each picture, or none."""

    label: str
    blocks: Sequence[Sequence[Image.Image]]  # gray, SIDE px a side
    captions: Sequence[Sequence[str]] = ()


def contact_sheet(
    files: Mapping[str, Iterable[bytes]], totals: Mapping[str, int] = MappingProxyType({}),
    about: Mapping[str, str] = MappingProxyType({}),
) -> bytes:  # fmt: skip
    """A PNG, a first look at a set: under each finding's name its first pictures, side by side.

    Args:
        files: pictures as files, for each finding; of more than `COLUMNS` and `ROWS`, the first are shown.
        totals: how many pictures of each finding the set has, where the sheet is to say it.
        about: what else it is to say of a finding, as the prompt.
    """
    rows = []
    for finding, pictures in list(files.items())[:ROWS]:
        shown = [thumbnail(file) for file in islice(pictures, COLUMNS)]
        counted = f": {len(shown)} of {totals[finding]:,}" if finding in totals else ""
        title = f"{finding.replace('_', ' ')}{counted}" + (f", {about[finding]}" if finding in about else "")
        rows.append(Row(wrap(title, max(len(shown) * SIDE - 8, SIDE)), [shown]))
    return sheet(rows)


def wrap(text: str, width: int) -> str:
    """In lines of so many pixels, broken between words; what goes beyond `LINES` is left out, and dots say so."""
    font, lines = ImageFont.load_default(FONT), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    shown = [shorten(line, width) for line in lines[:LINES]]
    return "\n".join(shown if len(lines) <= LINES else [*shown[:-1], shorten(f"{lines[LINES - 1]} ...", width)])


def shorten(text: str, width: int) -> str:
    """The text as far as it fits into so many pixels of a sheet's line."""
    font = ImageFont.load_default(FONT)
    if font.getlength(text) <= width:
        return text
    text = text.removesuffix("...").rstrip()
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def thumbnail(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def sheet(rows: Sequence[Row]) -> bytes:
    """A PNG of rows under each other."""
    widths = [sum(len(block) * SIDE + GAP for block in row.blocks) - GAP for row in rows]
    above = [LINE * (1 + row.label.count("\n")) for row in rows]
    heights = [text + SIDE + (LINE if row.captions else 0) for text, row in zip(above, rows, strict=True)]
    canvas = Image.new("L", (max(widths), sum(heights)), 255)
    draw, font, top = ImageDraw.Draw(canvas), ImageFont.load_default(FONT), 0
    for row, text, height in zip(rows, above, heights, strict=True):
        for number, line in enumerate(row.label.splitlines()):
            draw.text((4, top + 1 + number * LINE), line, fill=0, font=font)
        left = 0
        for number, block in enumerate(row.blocks):
            for place, picture in enumerate(block):
                canvas.paste(picture, (left, top + text))
                if row.captions:
                    draw.text((left + 4, top + text + SIDE), row.captions[number][place], fill=0, font=font)
                left += SIDE
            left += GAP
        top += height
    data = io.BytesIO()
    canvas.save(data, "PNG")
    return data.getvalue()
