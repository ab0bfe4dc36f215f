import cv2
import numpy as np
import pytest

from cxr.data.duplicates import group_near_duplicates
from cxr.data.images import make_thumbnail

RNG = np.random.default_rng(0)


def scene(number: int) -> np.ndarray:
    """A picture of its own: soft blobs of many sizes, uint8 [256, 256]."""
    rng = np.random.default_rng(number)
    layers = [
        cv2.resize(rng.random((k, k)).astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC)
        for k in (4, 9, 20, 40)
    ]
    return np.clip(sum(layers) / 4 * 255, 0, 255).astype(np.uint8)


def recompressed(pixels: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, 60))[1], cv2.IMREAD_GRAYSCALE)


COPIES = {
    "the same": lambda p: p,
    "JPEG 60": recompressed,
    "half size": lambda p: cv2.resize(p, (128, 128), interpolation=cv2.INTER_AREA),
    "brighter": lambda p: np.clip(p.astype(float) * 1.15 + 10, 0, 255).astype(np.uint8),
    "noise": lambda p: np.clip(p + RNG.normal(0, 8, p.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_changed_copy_is_found_and_other_pictures_are_not(copy: str):
    pictures = [scene(i) for i in range(40)]
    groups = group_near_duplicates(np.stack([make_thumbnail(p) for p in [*pictures, COPIES[copy](pictures[7])]]))
    assert groups[40] == groups[7]
    assert len(set(groups.tolist())) == 40


def test_copies_of_copies_are_one_group():
    first = scene(1)
    chain = [first, recompressed(first), recompressed(COPIES["brighter"](recompressed(first)))]
    groups = group_near_duplicates(np.stack([make_thumbnail(p) for p in [*chain, scene(2)]]))
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_dark_and_flat_pictures_do_not_link_everything():
    dark = [np.clip(RNG.normal(3, 0.4, (256, 256)), 0, 255).astype(np.uint8) for _ in range(6)]
    pictures = np.stack([make_thumbnail(p) for p in [*dark, np.zeros((256, 256), np.uint8), *map(scene, range(5))]])
    assert len(set(group_near_duplicates(pictures).tolist())) == len(pictures)


def test_none_and_one():
    assert group_near_duplicates(np.empty((0, 64, 64), np.uint8)).tolist() == []
    assert group_near_duplicates(make_thumbnail(scene(0))[None]).tolist() == [0]
