"""What every detector of near-duplicates does: it looks up a picture's best match among the training pictures."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np


@dataclass(frozen=True)
class Matches:
    """For each query its best match among the training pictures."""

    scores: np.ndarray  # float32 [Q], higher where more alike
    rows: np.ndarray  # int [Q], of the training picture


class Detector(Protocol):
    """The training pictures, ready to be searched."""

    def nearest(self, pixels: np.ndarray, *, advance: Callable[[int], object] = ...) -> Matches:
        """Of uint8 [Q, H, W], Q at least 1; `advance` hears how many were looked up."""


def pool(threads: int | None = None) -> ThreadPoolExecutor:
    """Of so many threads, by default one for each core: pictures are looked at side by side, and OpenCV's own threads
    would wait for each other."""
    cv2.setNumThreads(1)
    return ThreadPoolExecutor(threads or os.cpu_count())
