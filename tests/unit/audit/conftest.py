"""A real set of phantoms in memory, and other patients' phantoms."""

import numpy as np
import pytest

TRAIN, VALIDATION, TEST = 30, 10, 20


@pytest.fixture(scope="session")
def phantoms() -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 128, 128]: of a real set, its training pictures first, then validation, then test; and 24 of others."""
    from cxr.embedded.phantoms import draw_phantom

    count = TRAIN + VALIDATION + TEST
    real = [draw_phantom(11, 3 * number, size=128).pixels for number in range(count)]  # each of another patient
    return np.stack(real), np.stack([draw_phantom(12, 3 * number, size=128).pixels for number in range(24)])


@pytest.fixture(scope="session")
def real(phantoms):
    """The real set as an audit reads it."""
    from cxr.audit.sets import RealPictures

    count = np.arange(TRAIN + VALIDATION + TEST)
    parts = np.repeat(["train", "validation", "test"], [TRAIN, VALIDATION, TEST])
    ids = np.array([f"image{row:02d}" for row in count])
    patients = np.array([f"patient{row:02d}" for row in count])
    return RealPictures(ids, patients, np.where(count % 2, "a, PA", "b, PA"), parts, phantoms[0])


class Remembering:
    """A model whose error is half as large at the pictures that it knows, with their captions."""

    timesteps = 1000

    def __init__(self, known: dict[str, int]) -> None:
        import torch

        self.known, self.device = known, torch.device("cpu")

    def speed_up(self, compile, cuda_graphs):
        pass

    def latent_shape(self, height, width):
        return 1, 1, 1

    def encode_images(self, pixels):
        import torch

        sums = torch.from_numpy(pixels).sum(dim=(1, 2)).float()
        return torch.stack([sums, torch.ones_like(sums)], 1)[:, :, None, None, None]

    def encode_ahead(self, captions):
        return {}

    def encode_texts(self, captions):
        import torch

        return torch.tensor([self.known.get(caption, -1) for caption in captions])

    def predict_clean_noise(self, moments, states):
        return moments[:, 0]

    def denoising_errors(self, moments, draw, noise, times, states):
        return 1.0 + times / self.timesteps - 0.5 * (moments[:, 0, 0, 0, 0] == states) * (1 + times / self.timesteps)
