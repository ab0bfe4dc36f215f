import numpy as np
import pytest
import torch

from cxr.errors import BadInput
from cxr.evaluate.diversity import BETAS, diversity, draw_pairs, scales_for, similarity


def pictures(count: int, side: int, noise: float) -> np.ndarray:
    """One scene, with grain of its own in each picture."""
    rng = np.random.default_rng(0)
    scene = np.kron(rng.uniform(60, 200, (side // 8, side // 8)), np.ones((8, 8)))
    return np.clip(scene + noise * rng.standard_normal((count, side, side)), 0, 255).astype(np.uint8)


def test_equal_pictures_are_alike_and_the_more_they_differ_the_less():
    pairs = draw_pairs(6, 15, np.random.default_rng(0))
    means = [similarity(pictures(6, 128, noise), pairs).mean() for noise in (0, 10, 40)]
    assert means[0] == pytest.approx(1, abs=1e-5) and means[0] > means[1] > means[2] > 0


@pytest.mark.parametrize(("side", "scales"), [(256, 5), (136, 4), (64, 3), (40, 2), (16, 1)])
def test_small_pictures_get_fewer_scales_and_each_pair_is_what_torchmetrics_says(side, scales):
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    shown = np.concatenate([pictures(3, side, 30), pictures(2, side, 3), pictures(2, side, 90)])[:, :, : side - 3]
    scales = scales_for(side - 3)
    pairs = draw_pairs(7, 12, np.random.default_rng(3))
    first, second = (torch.from_numpy(shown[rows]).float()[:, None] for rows in pairs.T)
    betas = tuple(beta / sum(BETAS[:scales]) for beta in BETAS[:scales])
    expected = ms_ssim(first, second, data_range=255.0, betas=betas, reduction="none").numpy()
    found = diversity(shown, pairs, np.random.default_rng(0))
    np.testing.assert_allclose(similarity(shown, pairs), expected, atol=2e-5)
    assert (found.scales, found.pairs) == (scales, 12) and found.value == pytest.approx(expected.mean(), abs=2e-5)


def test_pictures_that_are_opposites_are_not_alike_at_all():
    shown = pictures(1, 64, 30)
    assert similarity(np.concatenate([shown, 255 - shown]), np.array([[1, 0]]))[0] == 0


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (21, 1), (22, 2), (43, 2), (44, 3), (98, 3), (99, 4), (175, 4), (176, 5), (9999, 5)]
)
def test_as_many_scales_as_there_is_room_for(side, scales):
    assert scales_for(side) == scales


def test_pairs_are_different_and_every_pair_can_be_drawn():
    every = draw_pairs(7, 100, np.random.default_rng(0))
    assert sorted(map(tuple, every.tolist())) == [(a, b) for a in range(7) for b in range(a)]
    some = draw_pairs(100_000, 5000, np.random.default_rng(0))
    assert len(np.unique(some, axis=0)) == 5000 and (some[:, 0] > some[:, 1]).all()
    assert some.min() >= 0 and some.max() < 100_000 and abs(some[:, 1].mean() / 100_000 - 1 / 3) < 0.02
    assert np.array_equal(some, draw_pairs(100_000, 5000, np.random.default_rng(0)))
    assert not np.array_equal(some, draw_pairs(100_000, 5000, np.random.default_rng(1)))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(BadInput, match="a similarity needs two"):
        draw_pairs(1, 5, np.random.default_rng(0))
    with pytest.raises(BadInput, match="MS-SSIM needs 11"):
        scales_for(10)


@pytest.mark.slow
def test_the_interval_holds_the_mean_and_more_pictures_narrow_it():
    rng = np.random.default_rng(0)
    widths = []
    for count in (10, 60):
        shown = np.stack([pictures(1, 64, noise)[0] for noise in rng.uniform(5, 60, count)])
        found = diversity(shown, draw_pairs(count, 400, rng), rng)
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.7 * widths[0]
