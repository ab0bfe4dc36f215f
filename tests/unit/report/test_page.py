"""The study's page: complete, self-contained, escaped, and honest about phantoms and extractors."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from cxr.report.html import embedded
from cxr.report.page import FIGURES, GRID, page
from tests.unit.report.sample import sample_quality

RECORD = {"recipe": {"size": 128, "note": "<script>"}, "versions": {"cxr": "0.1.0"}, "made": {"count": 7}}


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def text(ten, drawn) -> str:
    return page(ten, {"real": RECORD}, drawn["ten"], sample_quality())


def test_the_page_holds_its_figures_and_links_to_the_files_beside_it(text, drawn):
    elements = Elements(text)
    assert [link["href"] for link in elements.all("a") if link["href"].endswith(".png")] == list(FIGURES)
    images = elements.all("img")
    assert len(images) == len(drawn["ten"]) and all(image["alt"] for image in images)
    for image in images:
        shown = Image.open(io.BytesIO(base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))))
        assert shown.width == 1400


def test_the_page_needs_no_script_and_no_other_address(text):
    elements = Elements(text)
    assert not elements.all("script") and not re.search(r"https?://|url\(|@import", text)
    places = {link["href"].lstrip("#") for link in elements.all("a") if link["href"].startswith("#")}
    assert places <= {attributes.get("id") for _, attributes in elements.found}


def test_everything_that_the_study_says_is_there(text, ten):
    for line in (ten.answer, *ten.details, *ten.allowed, *ten.notes, *ten.settings.values(), *ten.classes):
        assert line in text
    for source in ten.sources:
        assert source.digest[:12] in text and source.uri in text
    assert "Not for clinical use" in text and "Subgroups" in text and "Optimism" in text
    assert "&lt;script&gt;" in text and "&#34;count&#34;" not in text


def test_phantoms_have_a_banner(text, ten, drawn):
    assert "<strong>Phantoms.</strong>" in text
    assert "hantom" not in page(replace(ten, phantom=False), {}, {})


def test_a_distance_is_a_fid_only_with_the_network_of_the_field(ten):
    ours = page(ten, {}, {}, sample_quality("tiny"))
    assert "Fréchet distance (tiny)" in ours and "FID" not in ours and "KID" not in ours
    assert "86.2 %" in ours and "(82.9 to 89.1)" in ours
    field = page(ten, {}, {}, sample_quality("inception"))
    assert "FID" in field and "KID" in field and "(inception)" not in field


def test_what_was_not_given_is_said_or_left_out(odd, binary):
    bare = page(odd, {}, {})
    assert "Not measured: no evaluation was given." in bare and "<img" not in bare and "Optimism" not in bare
    assert f"{len(odd.arms) - 2}, 2 failed" in bare
    unknown = replace(binary, test_patients=360)  # each picture stands for a patient of its own
    assert "360 of 241 patients" in page(binary, {}, {}) and "of 360 patients" not in page(unknown, {}, {})
    assert "longer on more pictures" in page(replace(binary, budget="epochs"), {}, {})


def test_the_grid_and_other_files_are_shown_where_there_are_any(binary):
    grid = io.BytesIO()
    Image.new("L", (300, 200), 128).save(grid, "PNG")
    elements = Elements(page(binary, {}, {GRID: grid.getvalue()}, files=["results.csv"]))
    images = elements.all("img")
    assert {"href": "results.csv"} in elements.all("a")
    assert [image["alt"] for image in images] == ["Real and synthetic pictures"]


def test_what_a_user_wrote_is_text(binary):
    hostile = replace(binary, answer='<img src=x onerror="alert(1)">', notes=["<script>alert(2)</script>"])
    elements = Elements(page(hostile, {"<b>": {"recipe": {"a": "</pre><script>"}}}, {}))
    assert not elements.all("script") and not elements.all("img") and not elements.all("b")


def test_a_small_picture_is_embedded_as_it_is():
    data = io.BytesIO()
    Image.new("RGB", (20, 10), (0, 114, 178)).save(data, "PNG")
    kept = Image.open(io.BytesIO(base64.b64decode(embedded(data.getvalue()).split(",")[1])))
    assert kept.size == (20, 10) and kept.convert("RGB").getpixel((3, 3)) == (0, 114, 178)
