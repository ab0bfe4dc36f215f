import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from cxr.errors import BadInput
from cxr.evaluate.frechet import (
    Gaussian,
    Moments,
    extrapolated,
    frechet,
    frechet_distance,
    gaussian,
    gaussian_of,
    moments,
)


def by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """As pytorch-fid has it."""
    mean, first, second = a.mean(0) - b.mean(0), np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(mean @ mean + np.trace(first) + np.trace(second) - 2 * np.trace(sqrtm(first @ second)).real)


def normal(count: int, dimension: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated, of very different variances, as features are; float32."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dimension, dimension)) * np.logspace(0, -2, dimension)
    return (rng.standard_normal((count, dimension)) @ mixing + shift).astype(np.float32)


@pytest.mark.parametrize(("count", "dimension"), [(500, 40), (300, 128), (2000, 8)])
def test_agrees_with_the_matrix_square_root_of_pytorch_fid(count, dimension):
    a, b = normal(count, dimension, 1), normal(count + 7, dimension, 2, shift=0.3)
    expected = by_sqrtm(a.astype(float), b.astype(float))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet(gaussian_of(moments(a)), gaussian_of(moments(b))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("counts", [(20, 30), (20, 300), (300, 20)])
def test_fewer_samples_than_dimensions_agree_too(counts):
    a, b = normal(counts[0], 64, 1).astype(float), normal(counts[1], 64, 2, shift=1).astype(float)
    cross = np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)  # sqrtm is not defined for singular ones
    roots = np.sqrt(np.maximum(np.linalg.eigvals(cross).real, 0)).sum()
    traces = np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False))
    expected = np.square(a.mean(0) - b.mean(0)).sum() + traces - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet(gaussian_of(moments(a)), gaussian_of(moments(b))) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.floats(-50, 50)] * 2, *[st.floats(0, 30)] * 2), min_size=1, max_size=6))
def test_diagonal_gaussians_are_as_far_apart_as_the_closed_form_says(axes):
    """Per axis (m - m')^2 + (s - s')^2; one axis is the one-dimensional case."""
    first_mean, second_mean, first_std, second_std = np.array(axes).T
    a, b = Gaussian(99, first_mean, np.diag(first_std)), Gaussian(99, second_mean, np.diag(second_std))
    expected = np.square(first_mean - second_mean).sum() + np.square(first_std - second_std).sum()
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("count", [30, 400])
def test_symmetric_and_zero_for_the_same_set(count):
    a, b = normal(count, 64, 1, shift=40), normal(count, 64, 2)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)
    variance = a.var(axis=0).sum()
    assert frechet_distance(a, a) < 1e-12 * variance
    assert frechet(gaussian_of(moments(a)), gaussian(a)) < 1e-6 * variance


def test_moments_of_parts_add_up_to_those_of_the_whole():
    a = normal(500, 16, 1)
    parts = sum(
        (moments(part) for part in np.array_split(a, [1, 200, 333])), Moments(0, np.zeros(16), np.zeros((16, 16)))
    )
    whole = moments(a)
    assert parts.count == whole.count == 500
    assert np.allclose(parts.total, whole.total, rtol=1e-12) and np.allclose(parts.outer, whole.outer, rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_cannot_be_measured_is_refused_in_one_line(bad):
    good = normal(10, 4, 0)
    broken = good.copy()
    broken[3, 2] = bad
    with pytest.raises(BadInput, match="infinite or no numbers"):
        frechet_distance(good, broken)
    with pytest.raises(BadInput, match="of 1 pictures"):
        frechet_distance(good[:1], good)
    with pytest.raises(BadInput, match="of 1 pictures"):
        gaussian_of(moments(good[:1]))
    with pytest.raises(ValueError, match="two extractors"):
        frechet_distance(good, good[:, :3])


def test_extrapolation_takes_off_what_few_synthetic_samples_add():
    """The truth is 0, as both are of one distribution; 200 samples in 16 dimensions have a distance all the same."""
    real, plain, infinite = np.random.default_rng(0).standard_normal((50_000, 16)), [], []
    for seed in range(10):
        rng = np.random.default_rng(seed + 1)
        synthetic = rng.standard_normal((200, 16))
        plain.append(frechet_distance(real, synthetic))
        infinite.append(extrapolated(real, synthetic, rng))
    assert np.mean(plain) > 0.3 and abs(np.mean(infinite)) < 0.2 * np.mean(plain)
