"""The same pictures as another machine and another technician would have made them."""

import cv2
import numpy as np

GAMMA, CONTRAST, ZOOM = 1.4, 1.3, 1.1  # factors, down and up
BRIGHTNESS, NOISE, SHIFT = 0.1, 0.025, 0.06  # shares of the range of gray, and of the side


def vary_appearance(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each picture of uint8 [N, H, W] with other gamma, contrast, brightness, noise, place and size; the same shape."""
    return np.stack([_vary_one(picture, rng) for picture in pixels])


def _vary_one(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = picture.shape
    gamma, contrast, zoom = (factor ** rng.uniform(-1, 1) for factor in (GAMMA, CONTRAST, ZOOM))
    shift = rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 0, zoom)
    matrix[:, 2] += shift
    light = cv2.warpAffine(picture.astype(np.float32) / 255, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    light = 0.5 + contrast * (light**gamma - 0.5) + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    light += rng.uniform(0, NOISE) * rng.standard_normal(picture.shape, np.float32)
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)
