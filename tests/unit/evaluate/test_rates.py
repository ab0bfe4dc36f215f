import numpy as np
import pytest

from cxr.evaluate.rates import rate


def test_a_rate_comes_with_its_exact_interval():
    """Clopper and Pearson: none of 100 is 0 to 3.62 %; 5 of 100 is 1.64 to 11.28 %."""
    none, five = rate(np.zeros(100, bool)), rate(np.arange(100) < 5)
    assert (none.low, none.high) == (0, pytest.approx(0.0362, abs=1e-4))
    assert (five.share, five.low, five.high) == (0.05, *(pytest.approx(x, abs=1e-4) for x in (0.0164, 0.1128)))
