import numpy as np
import torch

from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import fit, predict
from cxr.networks import SmallCnn


def test_learns_which_way_stripes_run_and_says_so_of_new_ones():
    rng = np.random.default_rng(0)

    def stripes(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(2, size=count)
        waves = 127 + 90 * np.sin(np.arange(64) * 0.8 + rng.uniform(0, 6, (count, 1)))
        pictures = np.repeat(waves[:, None], 64, axis=1).astype(np.uint8)
        pictures[labels == 1] = pictures[labels == 1].transpose(0, 2, 1)
        return pictures, labels

    torch.manual_seed(0)
    model, reports = SmallCnn(2), []
    fit(model, *stripes(96), ClassifyConfig(epochs=4, batch=16), np.random.default_rng(0), reports.append)
    pictures, labels = stripes(40)
    shares = predict(model, pictures, batch=16)
    assert shares.shape == (40, 2) and np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares.argmax(axis=1) == labels).mean() > 0.9
    assert len(reports) == 4 * (96 // 16)
