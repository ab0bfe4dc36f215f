"""Near-duplicate pictures: a perceptual hash nominates pairs, the correlation of their details decides.

Chosen on nih-cxr (298,000 pairs of pictures, 129 of them altered): copies through JPEG quality 30, half size, noise or
another exposure differ by at most 8 bits; of different patients 0.05 % of the pairs do. Subtracting a blurred copy
leaves out what all chests share: different patients then correlate by at most 0.79, such copies by at least 0.916. The
gap is wide because the tail grows with the square of the pictures, and one false link joins two patients. Cropped,
mirrored and rotated copies are not looked for.
"""

from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cxr.data.images import THUMBNAIL

MAX_DIFFERING_BITS = 8  # of 64 that may differ
MIN_CORRELATION = 0.9
BLUR = 2.5  # pixels of a thumbnail
MIN_CONTRAST = 1.0  # gray levels; what is flatter holds nothing to compare
HASHES_AT_ONCE = 1 << 20  # pairs
PAIRS_AT_ONCE = 1 << 9
PICTURES_AT_ONCE = 1 << 13  # whose details, 8 kB each, are in memory
OTHERS_AT_ONCE = 1 << 11  # that they are compared with, whose details are in memory too
FILTERED_AT_ONCE = 1 << 7  # pictures


class Thumbnails(Protocol):
    """An array uint8 [N, 64, 64] of `images.make_thumbnail`, or what reads parts of one."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...


def group_near_duplicates(thumbnails: Thumbnails) -> np.ndarray:
    """Group numbers, int [N] from 0: pictures linked directly or through others share one.

    Compares every pair of hashes in blocks: 64-bit words are so quick to compare that an index over parts of the hash
    (with 9 parts of 7 bits, half of them alike in all chests) gains little. Memory is 8 bytes a picture and what two
    blocks need, whose details are computed when they are compared.
    """
    count = len(thumbnails)
    groups, hashes = np.arange(count), np.empty(count, np.uint64)
    for block in _blocks(0, count, OTHERS_AT_ONCE):
        hashes[block] = perceptual_hashes(_check_thumbnails(thumbnails[block]))
    for block in _blocks(0, count, PICTURES_AT_ONCE):
        groups = _link_block(groups, thumbnails, hashes, block)
    return groups


def _link_block(groups: np.ndarray, thumbnails: Thumbnails, hashes: np.ndarray, block: slice) -> np.ndarray:
    """The groups once the pictures of a block are compared with each other and with all later ones."""
    own = _detail_vectors(thumbnails, np.arange(block.start, block.stop))
    for other in _blocks(block.start, len(hashes), OTHERS_AT_ONCE):
        first, second = _pair_similar_hashes(hashes, block, other)
        apart = groups[first] != groups[second]
        first, second = first[apart], second[apart]
        needed, where = np.unique(second, return_inverse=True)
        theirs = _detail_vectors(thumbnails, needed)
        alike = _correlate_pairs(own, first - block.start, theirs, where) >= MIN_CORRELATION
        if alike.any():
            groups = join_groups(groups, first[alike], second[alike])
    return groups


def _blocks(start: int, count: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, count)) for first in range(start, count, size))


def _check_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    if thumbnails.dtype != np.uint8 or thumbnails.shape[1:] != (THUMBNAIL, THUMBNAIL):
        raise ValueError(f"not uint8 [N, {THUMBNAIL}, {THUMBNAIL}] thumbnails: {thumbnails.dtype} {thumbnails.shape}")
    return thumbnails


def join_groups(groups: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Group numbers, int [N] from 0, once the groups of rows `first[k]` and `second[k]` are one for every k."""
    count = int(groups.max()) + 1 if len(groups) else 0
    links = coo_array((np.ones(len(first), bool), (groups[first], groups[second])), shape=(count, count))
    return connected_components(links, directed=False)[1][groups] if count else groups


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """uint64 [N]: the 8x8 lowest DCT frequencies of each thumbnail, above their median or not.

    C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1 (pHash).
    """
    low = np.array([cv2.dct(t.astype(np.float32))[:8, :8].ravel() for t in thumbnails]).reshape(-1, 64)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)  # the first frequency is the mean gray
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def _detail_vectors(thumbnails: Thumbnails, rows: np.ndarray) -> np.ndarray:
    """float16 [n, 4096] of mean 0 and norm 1; 0 for flat ones, which then correlate with nothing."""
    details = np.empty((len(rows), THUMBNAIL**2), np.float16)
    for part in _blocks(0, len(rows), FILTERED_AT_ONCE):
        sharp = [t - cv2.GaussianBlur(t, (0, 0), BLUR) for t in thumbnails[rows[part]].astype(np.float32)]
        flat = np.array(sharp).reshape(-1, THUMBNAIL**2)
        flat -= flat.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        details[part] = np.where(norm < MIN_CONTRAST * THUMBNAIL, 0, flat / np.maximum(norm, MIN_CONTRAST))
    return details


def _pair_similar_hashes(hashes: np.ndarray, block: slice, other: slice) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a block paired with later rows of another whose hash is near."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    step = max(1, HASHES_AT_ONCE // (other.stop - other.start))
    for start in range(block.start, block.stop, step):
        differing = np.bitwise_count(hashes[start : min(start + step, block.stop), None] ^ hashes[None, other])
        first, second = np.nonzero(differing <= MAX_DIFFERING_BITS)
        later = second + other.start > first + start
        found.append((first[later] + start, second[later] + other.start))
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return first, second


def _correlate_pairs(own: np.ndarray, first: np.ndarray, theirs: np.ndarray, second: np.ndarray) -> np.ndarray:
    found = np.empty(len(first), np.float32)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        pair = (details[rows[part]].astype(np.float32) for details, rows in ((own, first), (theirs, second)))
        found[part] = np.einsum("nd,nd->n", *pair)
    return found
