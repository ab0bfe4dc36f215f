import io

import numpy as np
import pytest
from PIL import Image

from cxr.data.labels import Vocabulary
from cxr.ingest.baselines import RIDGE, VIEW, Baseline
from cxr.ingest.split_report import SplitReport, draw_report, render_markdown


def report(**changed) -> SplitReport:
    fields = {
        "vocabulary": Vocabulary(("nodule", "normal"), True),
        "labels": one_hot([1, 1, 0, 0, 0]),
        "split": ["train", "test", "train", "train", "validation"],
        "groups": np.array([0, 1, 2, 2, 3]),
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
    fields |= changed
    return SplitReport(**{"uncertain": np.zeros(fields["labels"].shape, bool)} | fields)


def one_hot(numbers: list[int]) -> np.ndarray:
    return np.eye(max(numbers) + 1, dtype=np.float32)[numbers]


def several(findings: int = 3, images: int = 40) -> SplitReport:
    """Images that show several findings; the first and the second always together."""
    rng = np.random.default_rng(0)
    labels = (rng.random((images, findings)) < 0.4).astype(np.float32)
    labels[:, 1] = labels[:, 0]
    labels[0] = 0
    names = tuple(f"finding_{number:02d}" for number in range(findings))
    baselines = [Baseline(name, None, None, 0.6, (0.5, 0.7), of) for name in (VIEW, RIDGE) for of in (None, *names)]
    return report(
        vocabulary=Vocabulary(names, False), labels=labels, groups=np.arange(images) // 2,
        split=["train", "train", "validation", "test"] * (images // 4), views=["PA", "AP"] * (images // 2),
        sexes=["F"] * images, ages=[50] * images, baselines=baselines,
    )  # fmt: skip


def test_the_table_counts_images_and_patients():
    text = render_markdown(report())
    assert "| nodule | 2 (1) | 1 (1) | 0 (0) | 3 (2) |" in text
    assert "| **all** | 3 (2) | 1 (1) | 1 (1) | 5 (4) |" in text
    assert "3 images were rejected, 2 were there twice" in text and "tiny" in text
    assert "| majority class | 0.600 (0.500 to 0.700) | - |" in text
    assert "view alone" not in text  # nothing of it is known


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
        {"vocabulary": Vocabulary(tuple(f"of_a_long_name_{i}" for i in range(14)), True),
         "labels": one_hot(list(range(14))), "split": ["train"] * 14, "groups": np.arange(14),
         "views": ["PA"] * 14, "sexes": [None] * 14, "ages": list(range(14))},
    ],
)  # fmt: skip
def test_the_picture_is_drawn_whatever_is_missing(changed):
    drawn = Image.open(io.BytesIO(draw_report(report(**changed))))
    pixels = np.asarray(drawn.convert("L"))
    height = 933 if changed.get("ages") == [None] * 5 else 1400  # what is not told has no panel
    assert drawn.size == (1400, height) and pixels.std() > 10
    assert (pixels[:, [0, 1, -2, -1]] == 255).all(), "nothing is cut at a side"
    assert ("View, sex and age are not given" in render_markdown(report(**changed))) == (
        changed.get("ages", [0])[0] is None
    )


def test_the_prevalence_has_an_interval_and_leaves_out_what_is_not_known():
    text = render_markdown(report())
    assert "| nodule | 66.7 % (" in text and "| normal | 33.3 % (" in text and "What is not known" not in text
    labels, uncertain = one_hot([1, 1, 0, 0, 0]), np.zeros((5, 2), bool)
    labels[2:4, 0], uncertain[2, 0] = np.nan, True
    text = render_markdown(report(labels=labels, uncertain=uncertain, vocabulary=Vocabulary(("nodule", "rib"), False)))
    assert "| nodule | 0.0 % (" in text
    assert "| nodule | 1 | 2 | 1 | 1 | 67% | 0% | 0% |" in text


def test_findings_that_come_together_are_told_and_so_are_baselines_of_each():
    text = render_markdown(several())
    shown = int(several().labels[:, 0].sum())
    assert f"| finding_00 | **{shown}** | 100% |" in text and "No_Finding are those" in text
    assert "| finding_02 | 0.600 (0.500 to 0.700) | 0.600 (0.500 to 0.700) |" in text and "| **mean** |" in text
    assert "Findings together" not in render_markdown(report())


@pytest.mark.slow
@pytest.mark.parametrize("findings", [3, 14, 30])
def test_the_picture_has_room_for_many_findings(findings):
    drawn = Image.open(io.BytesIO(draw_report(several(findings))))
    pixels = np.asarray(drawn.convert("L"))
    assert drawn.width == 1400 and 1400 <= drawn.height < 2500 and pixels.std() > 10
    assert (pixels[:, [0, 1, -2, -1]] == 255).all(), "nothing is cut at a side"
