import numpy as np
import pytest

from cxr.errors import BadInput
from cxr.evaluate import prdc as module
from cxr.evaluate.prdc import densities, nearest_distances, prdc


def line(*places: float) -> np.ndarray:
    return np.array(places, np.float32)[:, None]


def test_a_case_counted_by_hand():
    """Real balls reach 1, 1, 2, 7 (k = 1): (-1, 1), (0, 2), (1, 5), (3, 17). Synthetic ones: 0.9, 0.9, 29.1."""
    found = prdc(line(0, 1, 3, 10), line(1.5, 0.6, 30.6), k=1)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["density"] == pytest.approx((2 + 2 + 0) / 3)
    assert found["coverage"] == pytest.approx(3 / 4)
    assert found["recall"] == pytest.approx(4 / 4)  # 30.6's ball is (1.5, 59.7): it holds 3 and 10


def test_the_same_set_twice_gives_one_everywhere(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    x = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32) + 100
    found = prdc(x, x.copy(), k=3)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] == pytest.approx(1)


def test_a_generator_that_knows_one_mode_is_precise_and_recalls_half():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((400, 4)) + 50 * (np.arange(400) % 2)[:, None]
    found = prdc(real, rng.standard_normal((400, 4)))
    assert found["precision"] > 0.9 and 0.4 < found["recall"] < 0.55 and 0.4 < found["coverage"] < 0.55
    far = prdc(real, rng.standard_normal((400, 4)) + 1000)
    assert set(far.values()) == {0}


def test_density_and_coverage_of_two_draws_are_what_the_paper_derives():
    """Naeem et al. 2020, section 3.4: E[density] = 1; E[coverage] = 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k))."""
    n, m, k = 300, 300, 5
    draws = [np.random.default_rng(i).standard_normal((n + m, 6)) for i in range(12)]
    found = [prdc(x[:n], x[n:], k) for x in draws]
    expected = 1 - np.prod([(n - i) / (m + n - i) for i in range(1, k + 1)])
    assert np.mean([f["coverage"] for f in found]) == pytest.approx(expected, abs=0.01)
    assert np.mean([f["density"] for f in found]) == pytest.approx(1, abs=0.08)


def test_blocks_do_not_change_a_figure(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((90, 16)), rng.standard_normal((70, 16))
    whole = prdc(x, y)
    monkeypatch.setattr(module, "BLOCK", 11)
    assert prdc(x, y) == whole


def test_no_more_samples_than_neighbours_is_refused():
    with pytest.raises(BadInput, match="of 5 pictures, where this metric needs 6"):
        prdc(np.zeros((9, 2)), np.zeros((5, 2)), k=5)


def test_density_of_each_sample_and_the_way_to_the_nearest_real_one():
    """The case above: balls of radius 1, 1, 2, 7 around 0, 1, 3, 10."""
    real, synthetic = line(0, 1, 3, 10), line(1.5, 0.6, 30.6)
    assert densities(real, synthetic, k=1).tolist() == [2, 2, 0]
    assert np.allclose(nearest_distances(synthetic, real), [0.5, 0.4, 20.6], atol=1e-5)
    assert nearest_distances(real).tolist() == [1, 1, 2, 7]
    assert nearest_distances(real[:1], real).tolist() == [0]  # a copy is no distance away
