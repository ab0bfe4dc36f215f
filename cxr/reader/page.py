"""The page of one reader: nothing in it but its pixels tells a real case from a synthetic one."""

import base64
import math
import re
from collections.abc import Sequence

import numpy as np

from cxr.prompts.lists import NO_FINDING
from cxr.report.pages import render

FORMAT = "cxr reader answers 1"
CONFIDENCE = ("guess", "likely", "sure")
REALISM = (-2, -1, 0, 1, 2)
BLOCK = re.compile(r'<script type="text/plain" class="case">(.*?)</script>')
MOST_BYTES = 400_000_000  # of the pictures in a page; browsers take about twice that


def reader_page(study: str, reader: str, findings: Sequence[str], pictures: np.ndarray) -> str:
    """One file that needs nothing else.

    Each picture stands in it as its bare pixels, so all take the same bytes and the same work to show; a compressed one
    would be longer where it has more detail.

    Args:
        findings: what a reader may tick besides `NO_FINDING`.
        pictures: uint8 [N, S, S] in the order of this reader.
    """
    told = {
        "format": FORMAT, "study": study, "reader": reader, "cases": len(pictures), "side": pictures.shape[1],
        "confidence": CONFIDENCE, "realism": REALISM, "none": NO_FINDING,
        "findings": [name for name in findings if name != NO_FINDING],
    }  # fmt: skip
    return render("reader.html", reader=reader, told=told, pictures=map(encode, pictures))


def encode(picture: np.ndarray) -> str:
    return base64.b64encode(picture.tobytes()).decode()


def pictures_of_page(page: str) -> list[np.ndarray]:
    """The pictures uint8 [S, S] of a reader's page, in its order."""
    found = [np.frombuffer(base64.b64decode(block), np.uint8) for block in BLOCK.findall(page)]
    return [pixels.reshape(-1, math.isqrt(len(pixels))) for pixels in found]
