"""All nights in one page: nothing that was judged is missing or shown as what it is not."""

import io
from datetime import date

import pytest
from matplotlib.figure import Figure
from PIL import Image

from cxr.data.lineage import PHANTOM, PHANTOM_NOTICE
from cxr.nightly import trend
from cxr.nightly.report import Report
from cxr.store import Store
from tests.unit.nightly.conftest import judged

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture
def nights() -> list[Report]:
    return [judged("2026-10-31"), judged("2026-11-01", worst_accuracy=0.3), judged("2026-11-02", worst_accuracy=None)]


def test_the_page_has_a_row_for_each_night_the_newest_first(store: Store, nights: list[Report]) -> None:
    for night in (nights[2], nights[0], nights[1]):  # a night may be judged after a later one
        trend.update_trend(store, night)
    assert [night.date for night in trend.read_nights(store)] == ["2026-10-31", "2026-11-01", "2026-11-02"]
    head, rows = trend.build_table(trend.read_nights(store))
    assert [row[:2] for row in rows] == [
        ["2026-11-02", "failed"], ["2026-11-01", "failed"], ["2026-10-31", "passed"]
    ]  # fmt: skip
    assert [row[head.index("worst prompt accuracy")] for row in rows] == ["-", "0.3", "0.7"]
    assert [row[head.index("audit")] for row in rows] == ["unaudited"] * 3
    page = store.get("trend/index.html").decode()
    assert "its lower 95 % bound, was not measured" in page and "data:image/png" in page
    assert Image.open(io.BytesIO(store.get("trend/trend.png"))).width == trend.WIDTH * trend.DPI


def test_nights_of_phantoms_are_called_so(nights: list[Report]) -> None:
    assert PHANTOM_NOTICE not in trend.render_page(nights, trend.draw_trend(nights))
    assert PHANTOM_NOTICE in trend.render_page(
        [judged("2026-10-30", sources=(PHANTOM,)), *nights], trend.draw_trend(nights)
    )


def test_a_night_that_is_judged_again_is_there_once(store: Store, nights: list[Report]) -> None:
    trend.update_trend(store, nights[0])
    trend.update_trend(store, nights[0])
    assert trend.read_nights(store) == nights[:1]


def test_failed_nights_and_limits_are_drawn(nights: list[Report]) -> None:
    axis = Figure().subplots()
    trend.draw_panel(axis, trend.PANELS[1], nights)
    drawn = {line.get_label(): line for line in axis.get_lines()}
    assert list(drawn["passed"].get_xdata()) == [date(2026, 10, 31)]
    assert list(drawn["failed its gate"].get_ydata()) == [0.3, None]
    assert set(drawn["limit"].get_ydata()) == {0.6}


def test_each_panel_draws_the_limit_of_its_own_figure() -> None:
    for panel, words in zip(trend.PANELS, ("real halves", "prompt accuracy", "near-duplicates"), strict=True):
        check = judged("2026-11-01").checks[panel.check]
        assert words in check.name and words in panel.name
        assert check.at_most is (panel.better == "lower is better")


def test_every_marker_and_limit_is_inside_its_panel() -> None:
    nights = [judged("2026-11-20", excess_distance=9.0), judged("2026-11-21", excess_distance=30.0)]
    for panel, highest in zip(trend.PANELS, (30.0, 0.7, 0.05), strict=True):
        axis = Figure().subplots()
        trend.draw_panel(axis, panel, nights)
        assert axis.get_ylim()[0] == 0 and axis.get_ylim()[1] == pytest.approx(1.15 * highest)
