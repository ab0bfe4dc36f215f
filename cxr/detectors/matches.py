"""What every detector of near-duplicates does: it looks up a picture's best match among the training pictures."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

AT_ONCE = 32  # pictures that one thread takes at a time


@dataclass(frozen=True)
class Matches:
    """For each query its best match among the training pictures."""

    scores: np.ndarray  # float32 [Q], higher where more alike
    rows: np.ndarray  # int [Q], of the training picture


class Detector(Protocol):
    """The training pictures, ready to be searched."""

    def nearest(self, pixels: np.ndarray, *, advance: Callable[[int], object] = ...) -> Matches:
        """Of uint8 [Q, H, W], Q at least 1; `advance` hears how many were looked up."""


@contextmanager
def pool(threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Of so many threads, by default one for each core: pictures are looked at side by side, and the own threads of
    OpenCV and of matrix products would wait for each other."""
    cv2.setNumThreads(1)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or os.cpu_count()) as at_work:
        yield at_work


def in_parts(count: int) -> list[slice]:
    """The places of so many pictures, in parts that one thread takes at a time."""
    return [slice(start, start + AT_ONCE) for start in range(0, count, AT_ONCE)]
