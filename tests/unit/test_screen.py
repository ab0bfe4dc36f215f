"""Whether a picture comes before the user's eyes, and what is said where it cannot."""

import io
import sys
from types import SimpleNamespace

import pytest
from PIL import Image, ImageShow

from cxr import screen


@pytest.fixture
def picture() -> bytes:
    file = io.BytesIO()
    Image.new("L", (5, 7), 99).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def viewed(monkeypatch: pytest.MonkeyPatch) -> list[Image.Image]:
    """What a viewer on the screen was given."""
    seen: list[Image.Image] = []

    class Viewer(ImageShow.Viewer):
        def show(self, image: Image.Image, **options: object) -> int:
            seen.append(image)
            return 1

    monkeypatch.setattr(ImageShow, "_viewers", [Viewer()])
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return seen


def shell(monkeypatch: pytest.MonkeyPatch, **attributes: object) -> list[Image.Image]:
    """An IPython shell around this process; returns what it is asked to display."""
    displayed: list[Image.Image] = []
    running = SimpleNamespace(get_ipython=lambda: SimpleNamespace(**attributes))
    monkeypatch.setitem(sys.modules, "IPython", running)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=displayed.append))
    return displayed


def test_without_a_screen_nothing_is_shown_and_that_is_told(picture, viewed) -> None:
    assert not screen.show(picture)
    assert not viewed


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_screen_shows_it(picture, viewed, monkeypatch, name: str) -> None:
    monkeypatch.setenv(name, ":0")
    assert screen.show(picture)
    assert viewed[0].getpixel((4, 6)) == 99


def test_a_screen_without_a_viewer(picture, viewed, monkeypatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(ImageShow, "_viewers", [])
    assert not screen.show(picture)


def test_a_notebook_shows_it(picture, viewed, monkeypatch) -> None:
    displayed = shell(monkeypatch, kernel=object())
    assert screen.show(picture)
    assert displayed[0].size == (5, 7)
    assert not viewed


def test_ipython_in_a_terminal_is_no_notebook(picture, viewed, monkeypatch) -> None:
    displayed = shell(monkeypatch)
    assert not screen.show(picture)
    assert not displayed
