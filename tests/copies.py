"""Copies of a picture that a search for near-duplicates must find, of phantoms as of real X-rays."""

import cv2
import numpy as np


def recompressed(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 60))[1], cv2.IMREAD_GRAYSCALE)


COPIES = {
    "the same": lambda p: p,
    "less contrast": lambda p: (p * 0.6 + 50).astype(np.uint8),
    "JPEG 60": recompressed,
    "mirrored": lambda p: p[:, ::-1],
}
