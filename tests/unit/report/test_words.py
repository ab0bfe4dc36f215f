import pytest

from cxr.report.words import duration


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "less than a second"), (34.3, "34 s"), (123.5, "2 min"), (5400, "90 min"), (7668, "2.13 hours")],
)
def test_a_time_is_told_in_the_unit_that_a_reader_thinks_in(seconds: float, told: str):
    """123.5 s were "0.0343 hours"."""
    assert duration(seconds) == told
