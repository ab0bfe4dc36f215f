"""Real pictures from sources and sets, and who is trained on."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cxr.data.labels import Labels
from cxr.data.sources.row import SourceRow
from cxr.errors import BadInput
from cxr.labs.gan.real import from_set, from_source
from tests.stored import label_columns

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 40, 20), dtype=np.uint8)


def rows(splits: list[str | None], patients: int = 60) -> list[SourceRow]:
    return [
        SourceRow(
            f"row-{n:02d}",
            lambda n=n: PIXELS[n],
            Labels.only("ab"[n % 2]),
            split=split,
            patient_id=f"p{n // 2 % patients}",
        )
        for n, split in enumerate(splits)
    ]


def parts(real) -> Counter:
    return Counter(real.splits.tolist())


def test_pictures_come_through_the_door(real) -> None:
    notes = []
    dull = SourceRow("dull", lambda: np.zeros((40, 40), np.uint8), Labels.only("a"))
    found = from_source([*rows([None] * 60), dull], 0, notes.append)
    assert found.pixels.shape == (60, 28, 28) and not found.pixels[:, :, :6].any()  # 20 of 40 px wide, on black
    assert notes == ["1 of 61 pictures cannot be used and are left out"]
    assert found.classes == ("a", "b") and found.labels.tolist() == [0, 1] * 30
    assert from_source(rows([None] * 60), 0, notes.append).digest == found.digest
    assert from_source(rows([None] * 59 + ["test"]), 0, notes.append).digest != found.digest


def test_a_source_without_split_is_split_by_patient() -> None:
    found = from_source(rows([None] * 60, patients=15), 0, print)
    assert set(parts(found)) == {"train", "validation", "test"}
    part_of = {}
    for number, part in enumerate(found.splits):
        assert part_of.setdefault(number // 2 % 15, part) == part


def test_the_publishers_test_part_stays_and_validation_comes_from_train() -> None:
    splits = ["train"] * 40 + ["test"] * 20
    found = from_source(rows(splits), 0, print)
    assert (found.splits[40:] == "test").all() and parts(found) == {"train": 36, "validation": 4, "test": 20}
    whole = from_source(rows(["train"] * 30 + ["validation"] * 10 + ["test"] * 20), 0, print)
    assert parts(whole) == {"train": 30, "validation": 10, "test": 20}


def test_a_set_keeps_its_split_and_says_whom_it_has_shown(stored_set) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    splits = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    told = {"finding": ["a", "b"] * 6, "split": splits, "patient_id": [f"p{n // 3}" for n in range(12)]}
    found = stored_set("real", pixels, **told)
    seen = []
    ours = from_set(found, 0, seen.append)
    np.testing.assert_array_equal(ours.pixels, pixels)
    assert ours.splits.tolist() == splits and ours.digest == found.digest and sum(seen) == 12
    assert len(ours.lineage[0].names) == 3  # p0 and p1 in train, p2 in validation
    made = stored_set("made", pixels, metrics={"sources": ["phantom"]}, **told)
    assert (ours.sources, from_set(made, 0, seen.append).sources) == (["s"], ["phantom"])


def test_pictures_of_which_none_can_be_used_say_why() -> None:
    small = [SourceRow(f"small-{n}", lambda n=n: PIXELS[n, :8, :8], Labels.only("ab"[n % 2])) for n in range(5)]
    dull = SourceRow("dull", lambda: np.zeros((40, 40), np.uint8), Labels.only("a"))
    with pytest.raises(BadInput, match=r"^--data: none of 6 pictures can be used: smaller than \d+ pixels on a side$"):
        from_source([dull, *small], 0, pytest.fail)


def test_pictures_that_can_show_several_findings_are_refused(stored_set) -> None:
    line = "--data: its pictures can show several findings.*give pictures whose findings exclude each other"
    with pytest.raises(BadInput, match=line):
        from_source([replace(row, exclusive=False) for row in rows([None] * 60)], 0, print)
    labels = [Labels(("a", "b"), ()), Labels((), None)] * 6
    with pytest.raises(BadInput, match=line):
        from_set(stored_set("several", PIXELS[:12], **label_columns(labels, ("a", "b"))), 0, print)


def test_one_class_is_no_set() -> None:
    with pytest.raises(BadInput, match="--data: holds pictures of 1 findings"):
        from_source(rows([None] * 60)[::2], 0, print)
