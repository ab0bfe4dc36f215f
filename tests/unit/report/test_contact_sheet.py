"""What is said above the pictures of a sheet."""

import io

import numpy as np
from PIL import Image, ImageFont

from cxr.data.images import encode_png
from cxr.report.contact_sheet import FONT, LINE, LINES, SIDE, contact_sheet, wrap

PROMPT = (
    'tiny: "Findings: dense consolidation with air bronchograms in the upper zone of the left lung, mild." and others'
)


def test_a_long_prompt_is_all_there_in_lines_that_fit():
    text, font = wrap(PROMPT, 500), ImageFont.load_default(FONT)
    assert text.replace("\n", " ") == PROMPT and 1 < len(text.splitlines()) <= LINES
    assert all(font.getlength(line) <= 500 for line in text.splitlines())
    assert wrap("normal: 8 of 60", 500) == "normal: 8 of 60"


def test_what_is_longer_than_the_lines_ends_in_dots():
    lines = wrap(PROMPT * 9, 500).splitlines()
    assert len(lines) == LINES and lines[-1].endswith("...") and not any("..." in line for line in lines[:-1])


def test_pictures_begin_below_their_lines():
    dark = encode_png(np.arange(SIDE * SIDE, dtype=np.uint32).astype(np.uint8).reshape(SIDE, SIDE) // 8)
    data = contact_sheet({"normal": [dark] * 3}, {"normal": 60}, {"normal": PROMPT})
    sheet = Image.open(io.BytesIO(data))
    lines, rest = divmod(sheet.height - SIDE, LINE)
    assert lines > 1 and not rest and np.asarray(sheet)[lines * LINE :].max() < 32  # nothing is drawn over a picture
