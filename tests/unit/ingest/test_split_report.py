import io

import numpy as np
import pytest
from PIL import Image

from cxr.ingest.baselines import Baseline
from cxr.ingest.split_report import SplitReport, draw_report, render_markdown


def report(**changed) -> SplitReport:
    fields = {
        "findings": ["normal", "normal", "nodule", "nodule", "nodule"],
        "split": ["train", "test", "train", "train", "validation"],
        "groups": [0, 1, 2, 2, 3],
        "views": ["AP", "PA", "PA", None, "PA"],
        "sexes": ["F", "M", "F", "F", None],
        "ages": [30, 50, None, 70, 80],
        "rejected": 3,
        "repeated": 2,
        "near_duplicates": 1,
        "baselines": [
            Baseline("majority class", 0.6, (0.5, 0.7), None, None),
            Baseline("view alone", None, None, None, None),
        ],
        "warnings": ["the validation part is tiny"],
    }
    return SplitReport(**{**fields, **changed})


def test_the_table_counts_images_and_patients():
    text = render_markdown(report())
    assert "| nodule | 2 (1) | 1 (1) | 0 (0) | 3 (2) |" in text
    assert "| **all** | 3 (2) | 1 (1) | 1 (1) | 5 (4) |" in text
    assert "3 images were rejected, 2 were there twice" in text and "tiny" in text
    assert "| majority class | 0.600 (0.500 to 0.700) | - |" in text and "| view alone | - | - |" in text


def test_balance_counts_only_what_is_known():
    text = render_markdown(report())
    assert "|  | view PA | view AP | sex F | sex M | median age |" in text
    assert "| nodule | 100% | 0% | 100% | 0% | 75 |" in text and "| normal | 50% | 50% | 50% | 50% | 40 |" in text
    assert "| validation | 100% | 0% | not given | not given | 80 |" in text


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"views": [None] * 5, "sexes": [None] * 5, "ages": [None] * 5},
        {"findings": [f"of_a_long_name_{i}" for i in range(14)], "split": ["train"] * 14, "groups": list(range(14)),
         "views": ["PA"] * 14, "sexes": [None] * 14, "ages": list(range(14))},
    ],
)  # fmt: skip
def test_the_picture_is_drawn_whatever_is_missing(changed):
    drawn = Image.open(io.BytesIO(draw_report(report(**changed))))
    pixels = np.asarray(drawn.convert("L"))
    assert drawn.size == (1400, 1400) and pixels.std() > 10
    assert (pixels[:, [0, 1, -2, -1]] == 255).all(), "nothing is cut at a side"
    assert ("View, sex and age are not given" in render_markdown(report(**changed))) == (
        changed.get("ages", [0])[0] is None
    )
