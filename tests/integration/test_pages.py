"""The pages as readers see them: in a real browser, from a file and from a server, on a desk and on a phone."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.reader.page import reader_page
from cxr.study.pages.page import GRID, page
from cxr.study.pages.plots import draw
from tests.browsing import DESK, MISSING, PHONE, SMALLEST_TYPE, served
from tests.unit.report.sample import TEN, optimistic, read_sample_quality, sample_study


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study of two classes in `two`, of ten findings in `ten`."""
    folder, grid = tmp_path_factory.mktemp("studies"), io.BytesIO()
    Image.linear_gradient("L").resize((1300, 700)).save(grid, "PNG")
    for name, study in {"two": sample_study(), "ten": optimistic(sample_study(TEN, phantom=True))}.items():
        place, pictures = folder / name, {**draw(study), GRID: grid.getvalue()}
        place.mkdir()
        record = {"recipe": {"place": "a" * 300, "size": 128}}
        (place / "index.html").write_text(
            page(study, {"real": record}, pictures, read_sample_quality()), encoding="utf-8"
        )
        for key, data in pictures.items():
            (place / key).write_bytes(data)
    return folder


@pytest.fixture(scope="module", params=["two", "ten", "evaluation"])
def site(browser, request: pytest.FixtureRequest) -> Path:
    """A page's folder; without a browser none is made."""
    if request.param == "evaluation":
        return request.getfixturevalue("evaluation")
    return request.getfixturevalue("studies") / request.param


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_page_is_whole_and_readable_from_a_file(show, site, size, scheme):
    seen = show((site / "index.html").as_uri(), size, scheme)
    assert seen.complaints == [] and seen.ask(MISSING) == []
    assert seen.ask("document.images.length") >= 4
    assert seen.ask("document.scrollingElement.scrollWidth") <= size["width"]
    assert seen.ask(SMALLEST_TYPE) >= 12


def test_a_page_asks_a_server_for_nothing_but_its_own(show, site):
    with served(site) as address:
        seen = show(f"http://{address}/index.html")
        assert seen.complaints == [] and seen.ask(MISSING) == []
        origins = "performance.getEntriesByType('resource').map(entry => new URL(entry.name).host)"
        assert set(seen.ask(origins)) <= {address, ""}


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_answer_is_seen_first(show, studies, size):
    seen = show((studies / "ten" / "index.html").as_uri(), size)
    box = seen.page.locator("#answer").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] < size["height"]
    assert seen.page.get_by_text("Phantoms.", exact=True).is_visible()


def test_a_box_that_scrolls_shows_that_it_does(show, studies):
    """At the edge that hides something, until it is scrolled there; a box that shows all has no sign."""
    seen = show((studies / "two" / "index.html").as_uri(), PHONE)
    sign = "box => getComputedStyle(box, '::after').visibility"
    boxes = seen.page.locator(".scroller").all()
    hidden = [box for box in boxes if box.locator(".wide").evaluate("one => one.scrollWidth > one.clientWidth")]
    assert hidden and {box.evaluate(sign) for box in hidden} == {"visible"}
    assert {box.evaluate(sign) for box in boxes if box not in hidden} <= {"hidden"}
    hidden[0].locator(".wide").evaluate("one => one.scrollTo(10000, 0)")
    seen.page.wait_for_timeout(100)
    assert hidden[0].evaluate(sign) == "hidden"
    wide = show((studies / "two" / "index.html").as_uri(), DESK)
    assert {box.evaluate(sign) for box in wide.page.locator(".scroller").all()} == {"hidden"}


def test_each_figure_opens_its_file_for_print(show, studies):
    seen = show((studies / "two" / "index.html").as_uri())
    links = seen.page.locator("figure a")
    for number in range(links.count()):
        links.nth(number).click()
        seen.page.wait_for_url("**/*.png")
        assert seen.ask("document.images[0].naturalWidth") >= 700
        seen.page.go_back()
    assert seen.complaints == []


def test_a_broken_page_would_be_noticed(show, tmp_path):
    wide = "<body style='font-size: 10px'><div style='width: 900px'>small</div>"
    (tmp_path / "index.html").write_text(f"{wide}<img src=gone.png alt=gone><script>console.warn('odd')</script>")
    seen = show((tmp_path / "index.html").as_uri(), PHONE)
    assert "warning: odd" in seen.complaints and any("gone.png" in line for line in seen.complaints)
    assert seen.ask(MISSING) == ["gone"] and seen.ask(SMALLEST_TYPE) == 10
    assert seen.ask("document.scrollingElement.scrollWidth") > 400


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_reader_answers_by_keys_goes_on_after_a_reload_and_saves(show, tmp_path, size):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    (tmp_path / "page.html").write_text(reader_page("s", "reader-1", ["effusion"], pictures), encoding="utf-8")
    seen = show((tmp_path / "page.html").as_uri(), size)
    view, keys = seen.page, seen.page.keyboard
    drawn = seen.ask("[...document.querySelector('canvas').getContext('2d').getImageData(0, 0, 64, 64).data]")
    assert drawn[::4] == pictures[0].ravel().tolist()
    keys.press("6")
    keys.press("Enter")
    assert view.inner_text("#missing") == "Still open: how real it looks."
    for realism, finding, verdict in (("1", "effusion", "6"), ("-2", "No_Finding", "1")):
        keys.press(verdict)
        view.click(f"[name=realism][value='{realism}']")
        view.click(f"[name=finding][value={finding}]")
        keys.press("Enter")
        view.reload()
    assert "2 answered" in view.inner_text("h1")
    with view.expect_download() as saved:
        view.click("#export")
    told = json.loads(Path(saved.value.path()).read_text())
    assert [(one["case"], one["verdict"], one["realism"], one["findings"]) for one in told["answers"]] == [
        (1, 3, 1, ["effusion"]), (2, -3, -2, ["No_Finding"]),
    ]  # fmt: skip
    assert seen.complaints == [] and seen.ask("document.scrollingElement.scrollWidth") <= size["width"]
    assert seen.ask(SMALLEST_TYPE) >= 12
