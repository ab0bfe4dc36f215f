"""A real browser, in which pages are seen as readers see them; it complains of whatever does not work."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SWITCHES = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESK, PHONE = {"width": 1200, "height": 900}, {"width": 400, "height": 800}
MISSING = "[...document.images].filter(image => !image.naturalWidth).map(image => image.alt)"
SMALLEST_TYPE = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), sizes = [];
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (data.trim()) sizes.push(parseFloat(getComputedStyle(parentElement).fontSize));
  }
  return Math.min(...sizes);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install cxr[test]")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt-get install -y --no-install-recommends chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=SWITCHES)
        yield started
        started.close()


@dataclass(frozen=True)
class Opened:
    """A page in the browser, everything folded out, and what the browser complained of."""

    page: object
    complaints: list[str]

    def ask(self, script: str):
        return self.page.evaluate(script)


@pytest.fixture
def show(browser):
    """`show(url, size, scheme)`"""

    def opened(url: str, size: dict[str, int] = DESK, scheme: str = "light") -> Opened:
        view, complaints = browser.new_page(viewport=size, color_scheme=scheme), []
        view.on("console", lambda line: complaints.append(f"{line.type}: {line.text}"))
        view.on("pageerror", lambda error: complaints.append(str(error)))
        view.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        view.on("response", lambda reply: complaints.append(f"{reply.status}: {reply.url}") if not reply.ok else None)
        view.goto(url)
        view.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        return Opened(view, complaints)

    yield opened
    for context in browser.contexts:
        context.close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of this folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
