import numpy as np
import pytest

from cxr.evaluate.score import inception_score


def test_from_one_to_the_number_of_classes():
    assert inception_score(np.eye(5)[np.arange(50) % 5]) == pytest.approx(5)  # sure, and every class
    assert inception_score(np.full((50, 5), 0.2)) == pytest.approx(1)  # knows nothing
    assert inception_score(np.eye(5)[np.zeros(50, int)]) == pytest.approx(1)  # one class only


def test_a_case_counted_by_hand():
    """Two pictures, (0.9, 0.1) and (0.5, 0.5): the mean is (0.7, 0.3)."""
    p = np.array([[0.9, 0.1], [0.5, 0.5]])
    kl = [0.9 * np.log(0.9 / 0.7) + 0.1 * np.log(0.1 / 0.3), 0.5 * np.log(0.5 / 0.7) + 0.5 * np.log(0.5 / 0.3)]
    assert inception_score(p) == pytest.approx(np.exp(np.mean(kl)))
