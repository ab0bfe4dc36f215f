"""MedMNIST's npz and MNIST's IDX files, as their publishers write them and damaged."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from cxr.data.sources.arrays import idx_rows, npz_rows
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
LABELS = np.array([[0], [1], [1], [0]], np.uint8)


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def medmnist(path: Path) -> Path:
    parts = {"train": GRAY, "val": COLOUR, "test": GRAY[:1]}
    images = {f"{part}_images": pixels for part, pixels in parts.items()}
    return npz(path, **images, **{f"{part}_labels": LABELS[: len(pixels)] for part, pixels in parts.items()})


def read(source, path: Path) -> list[SourceRow]:
    return list(source(str(path), SourceOptions()))


def error_of(source, path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read(source, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_npz_reads_every_part(tmp_path: Path):
    rows = read(npz_rows, medmnist(tmp_path / "pneumoniamnist_64.npz"))
    assert [row.split for row in rows] == ["train"] * 4 + ["validation"] * 2 + ["test"]
    assert [row.finding for row in rows[:4]] == ["normal", "pneumonia", "pneumonia", "normal"]
    assert len({row.name for row in rows}) == 7 and {row.licence for row in rows} == {"CC BY 4.0"}
    loaded = [pickle.loads(pickle.dumps(row)).load() for row in rows]
    for pixels, expected in zip(loaded, [*GRAY, *COLOUR, GRAY[0]], strict=True):
        np.testing.assert_array_equal(pixels, expected)


def test_other_npz_files_number_their_classes(tmp_path: Path):
    rows = read(npz_rows, medmnist(tmp_path / "some.npz"))
    assert {(row.finding, row.licence) for row in rows} == {("class_0", "unstated"), ("class_1", "unstated")}


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"images": GRAY}, "holds no train_images"),
        ({"train_images": GRAY}, "train_labels"),
        ({"train_images": GRAY, "train_labels": LABELS[:3]}, "4 pictures have 3 labels"),
        ({"train_images": GRAY, "train_labels": np.zeros((4, 14), np.uint8)}, "14 labels a picture"),
        ({"train_images": GRAY, "train_labels": np.zeros(4)}, "not whole numbers"),
        ({"train_images": GRAY.astype(float), "train_labels": LABELS}, "are float64"),
        ({"train_images": np.array([{}] * 4), "train_labels": LABELS}, "are object"),
        ({"train_images": GRAY, "train_labels": np.array([{}] * 4)}, "Object arrays cannot be loaded"),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path: Path, arrays: dict, told: str):
    assert told in error_of(npz_rows, npz(tmp_path / "a.npz", **arrays))


def test_damaged_npz(tmp_path: Path):
    path = medmnist(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:-200])
    assert "not a readable MedMNIST file" in error_of(npz_rows, path)
    assert "no such file" in error_of(npz_rows, tmp_path / "no.npz")


def idx(folder: Path, part: str, pixels: np.ndarray, labels: list[int], packed: bool) -> None:
    files = {
        f"{part}-images-idx3-ubyte": struct.pack(">IIII", 0x803, *pixels.shape) + pixels.tobytes(),
        f"{part}-labels-idx1-ubyte": struct.pack(">II", 0x801, len(labels)) + bytes(labels),
    }
    for name, data in files.items():
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_reads_both_parts(tmp_path: Path, packed: bool):
    idx(tmp_path, "train", GRAY, [5, 0, 4, 1], packed)
    idx(tmp_path, "t10k", GRAY[:2], [7, 2], packed)
    rows = read(idx_rows, tmp_path)
    assert [row.finding for row in rows] == ["digit_5", "digit_0", "digit_4", "digit_1", "digit_7", "digit_2"]
    assert [row.name for row in rows[3:5]] == ["train/000003", "test/000000"] and rows[5].split == "test"
    for row, expected in zip(rows, [*GRAY, *GRAY[:2]], strict=True):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(row)).load(), expected)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:-1], "fewer bytes than its header states"),
        (lambda data: data + b"x", "more bytes than its header states"),
        (lambda data: b"\0\0\x0d\x03" + data[4:], "its header is not that of such a file"),
        (lambda data: data[:3], "damaged"),
        (lambda data: data[:8] + b"\xff" * 8 + data[16:], "its header is not"),
    ],
)
def test_damaged_idx(tmp_path: Path, packed: bool, change, told: str):
    idx(tmp_path, "train", GRAY, [1, 2, 3, 4], packed)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    path.write_bytes(gzip.compress(change(data)) if packed else change(data))
    assert told in error_of(idx_rows, tmp_path)


def test_idx_parts_that_do_not_fit(tmp_path: Path):
    assert "holds no train-images" in error_of(idx_rows, tmp_path)
    idx(tmp_path, "train", GRAY, [1, 2, 3], packed=False)
    assert "4 pictures have 3 labels" in error_of(idx_rows, tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert "has no train-labels-idx1-ubyte(.gz) beside it" in error_of(idx_rows, tmp_path)


def test_idx_half_a_gzip_file(tmp_path: Path):
    idx(tmp_path, "train", GRAY, [1, 2, 3, 4], packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "damaged" in error_of(idx_rows, tmp_path)


def test_other_arrays_have_another_mark_and_copies_the_same(tmp_path: Path):
    def marks(path: Path, pixels: np.ndarray) -> set[str]:
        return {row.mark for row in read(npz_rows, npz(path, train_images=pixels, train_labels=LABELS))}

    first = marks(tmp_path / "a.npz", GRAY)
    assert len(first) == 1 and marks(tmp_path / "copy.npz", GRAY) == first
    assert marks(tmp_path / "a_64.npz", GRAY[::-1]).isdisjoint(first)


def test_idx_files_have_the_mark_of_what_is_in_them(tmp_path: Path):
    marks = []
    for name, pixels, packed in (("a", GRAY, False), ("b", GRAY, True), ("c", GRAY[::-1], True)):
        (tmp_path / name).mkdir()
        idx(tmp_path / name, "train", pixels, [5, 0, 4, 1], packed)
        marks.append({row.mark for row in read(idx_rows, tmp_path / name)})
    assert marks[0] == marks[1] and len(marks[0]) == 1 and marks[2].isdisjoint(marks[0])
