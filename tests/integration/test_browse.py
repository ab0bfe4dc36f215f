"""The page of artifacts as it is used: in a real browser, by keys and by hand, with few pictures and with 20,000."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cxr import cli
from cxr.artifact.kinds import GENERATED_IMAGES
from cxr.artifact.metrics import LabelMetrics
from cxr.data.catalog import CATALOG
from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, encode_png
from cxr.data.labels import Labels
from cxr.data.shards import IMAGE, encode_shard, image_features
from cxr.embedded.phantoms import draw_phantom
from cxr.jobs import browse
from cxr.prompts.findings import BINARY
from cxr.store import open_store, parquet, sha256
from tests.browsing import DESK, MISSING, PHONE, SMALLEST_TYPE, served
from tests.unit.browse.conftest import draw, store_all, store_real, store_record, store_set, told_in

SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])


def make_page(place: Path, *words: object) -> Path:
    assert browse.main(cli.parse(browse.Args, [*map(str, words), "--out", str(place)])) == 0
    return place / "index.html"


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Over a whole study; its sections are real (a0), model, set, synthetic (a3), clean, quality, study, report."""
    root = tmp_path_factory.mktemp("browse")
    store_all(root / "out", "folder")
    return make_page(root / "page", root / "out")


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_every_part_is_whole_and_readable_from_a_file(show, page, size, scheme):
    for part in ("", "#a3", "#a5", "#a3/2"):
        seen = show(page.as_uri() + part, size, scheme)
        seen.page.wait_for_function("!here || here.shown")
        told = seen.page.locator("#viewer" if "/" in part else "#privacy").get_by_text("Stays with its owner")
        assert 0 <= told.bounding_box()["y"] < size["height"]
        assert seen.complaints == [] and [name for name in seen.ask(MISSING) if name] == []  # unused ones have none
        assert seen.ask("document.scrollingElement.scrollWidth") <= size["width"]
        assert seen.ask(SMALLEST_TYPE) >= 12


def test_it_asks_a_server_for_nothing_but_its_own(show, page):
    with served(page.parent) as address:
        seen = show(f"http://{address}/index.html#a3/1")
        seen.page.wait_for_function("document.querySelector('#picture').naturalWidth")
        origins = "performance.getEntriesByType('resource').map(entry => new URL(entry.name).host)"
        assert seen.complaints == [] and set(seen.ask(origins)) == {address}


def test_a_page_that_was_copied_without_its_folders_says_so(show, page, tmp_path):
    (tmp_path / "index.html").write_bytes(page.read_bytes())
    seen = show(f"{(tmp_path / 'index.html').as_uri()}#a3/1")
    seen.page.wait_for_function("document.querySelector('#a3 .count').textContent.includes('copy the whole folder')")
    (tmp_path / "data").symlink_to(page.parent / "data")
    seen.page.reload()
    seen.page.wait_for_function("document.querySelector('#place').textContent.includes('copy the whole folder')")


@SIZES
def test_keys_and_filters_find_a_picture_and_its_nearest_training_picture(show, page, size):
    seen = show(f"{page.as_uri()}#a3", size)
    view, keys = seen.page, seen.page.keyboard
    view.wait_for_selector(".cell")
    assert view.inner_text("#a3 .count") == "30 pictures, \u2691 1 quarantined"
    view.select_option("#a3 [name=status]", "quarantined")
    assert view.inner_text("#a3 .count") == "1 of 30 pictures, \u2691 1 quarantined"
    keys.press("Escape")
    view.fill("#a3 [name=seed]", str(2**62 + 7))
    assert view.inner_text("#a3 .count") == "1 of 30 pictures" and "normal heart" in view.inner_text(
        "#a3 .cell:not([hidden])"
    )
    view.click("text=Clear")
    view.select_option("#a3 [name=finding]", "normal heart")
    assert view.inner_text("#a3 .count") == "15 of 30 pictures"
    for key in ("ArrowRight", "ArrowRight", "Enter"):  # to the first, to the second, which is row 3
        keys.press(key)
    view.wait_for_function("location.hash === '#a3/3'")
    keys.press("ArrowRight")
    view.wait_for_function("location.hash === '#a3/5'")
    assert "X-ray 5" in view.inner_text("#facts")
    keys.press("c")
    view.wait_for_function("document.querySelector('#other img').naturalWidth")
    assert seen.ask("document.querySelector('#other img').src").endswith("pictures/0/000004.png")
    keys.press("Escape")
    assert seen.ask("location.hash") == "#a3" and seen.ask("document.activeElement.className") == "cell"
    keys.press("Enter")
    view.click("text=All nearest to it")
    assert view.inner_text("#a3 .count") == "25 of 30 pictures"
    view.select_option("#a3 [name=order]", "score")
    assert seen.ask("here.shown.slice(0, 2)") == [5, 6]  # of those, the likest to it first
    view.locator("#a3 .cell:not([hidden])").first.focus()
    keys.press("Enter")
    view.click("text=Look at it")
    view.wait_for_function("location.hash === '#a0/4'")
    assert "CANARY-PATIENT-4711-2" in view.inner_text("#facts")
    view.go_back()
    view.wait_for_function("location.hash.startsWith('#a3')")
    assert seen.complaints == []


def test_window_and_level_are_what_they_say(show, tmp_path):
    """(value - level) / window + 1/2 of the way from black to white, to the gray value."""
    levels = np.array([[20, 90], [160, 230]], np.uint8)
    store_set(tmp_path / "set", GENERATED_IMAGES, np.kron(levels, np.ones((32, 32), np.uint8))[None], told_in)
    seen = show(f"{make_page(tmp_path / 'page', tmp_path / 'set').as_uri()}#a0/0")
    seen.page.wait_for_function("document.querySelector('#picture').naturalWidth")

    def shown() -> np.ndarray:
        pixels = np.asarray(Image.open(io.BytesIO(seen.page.locator("#picture").screenshot())).convert("L"), float)
        high, wide = pixels.shape
        return pixels[np.ix_([high // 4, 3 * high // 4], [wide // 4, 3 * wide // 4])]

    assert np.abs(shown() - levels).max() <= 1
    seen.page.locator("#window").fill("100")
    seen.page.locator("#level").fill("120")
    wanted = np.clip((levels - 120.0) / 100 + 0.5, 0, 1) * 255
    assert np.abs(shown() - wanted).max() <= 2
    seen.page.keyboard.press("i")
    assert np.abs(shown() - (255 - wanted)).max() <= 2
    seen.page.keyboard.press("r")
    assert np.abs(shown() - levels).max() <= 1
    seen.page.mouse.move(300, 300)
    seen.page.mouse.down()
    seen.page.mouse.move(200, 330)  # 100 px to the left, 30 px down
    seen.page.mouse.up()
    assert [seen.ask(f"find('{name}').value") for name in ("window", "level")] == ["156", "158"]


def test_zoom_keeps_the_middle_and_thumbnails_alone_can_be_looked_at(show, tmp_path):
    store_real(tmp_path / "real", draw(3, 0, (60, 50)))
    page = make_page(tmp_path / "page", tmp_path / "real", "--pictures", "thumbnails")
    seen = show(f"{page.as_uri()}#a0/1")
    seen.page.wait_for_function("document.querySelector('#picture').naturalWidth")
    assert "this page holds no more" in seen.page.inner_text("#place")
    for _ in range(4):
        seen.page.keyboard.press("+")
    middle = seen.ask("middleOf(find('picture').parentElement)")
    assert seen.ask("seen.zoom") == pytest.approx(1.25**4) and middle == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_page_in_a_bucket_over_sets_in_it_is_that_of_a_folder(s3, tmp_path, contents):
    bucket = f"s3://{s3.make_bucket()}"
    for root in (tmp_path, f"{bucket}/deep"):
        store_set(open_store(f"{root}/out/synthetic"), GENERATED_IMAGES, draw(5, 1), told_in)
        assert browse.main(cli.parse(browse.Args, [f"{root}/out", "--out", f"{root}/page"])) == 0
    assert contents(tmp_path / "page") == contents(f"{bucket}/deep/page")


# --- 20,000 pictures ---

MANY, SHARD, SIDE = 20_000, 1000, 96
STEPS = """async ([steps, pixels]) => {
  const gaps = [];
  let last = performance.now();
  for (let step = 0; step < steps; step++) {
    scrollBy(0, pixels);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  return gaps.sort((one, other) => one - other);
}"""
FIRST_VIEW = """async () => {
  const sheet = new Image();
  sheet.src = "sheets/0/00000.jpg";
  await sheet.decode();
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now();
}"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 20,000 pictures of phantoms, each shifted and with noise of its own."""
    root, rng = tmp_path_factory.mktemp("many"), np.random.default_rng(0)
    store = open_store(str(root / "set"))
    drawn = [draw_phantom(0, number, BINARY, SIDE).pixels for number in range(40)]
    rows: list[dict] = []
    for shard in range(MANY // SHARD):
        first, files = len(rows), []
        for row in range(first, first + SHARD):
            noisy = np.roll(drawn[row % 40], int(rng.integers(-9, 9)), 1) + rng.normal(0, 4, (SIDE, SIDE))
            texts = {XMP_KEYWORD: GENERATED_XMP, "cxr": json.dumps({"seed": int(rng.integers(2**62))})}
            files.append(encode_png(np.clip(noisy, 0, 255).astype(np.uint8), texts))
            finding = BINARY[row % len(BINARY)]
            rows.append(
                {
                    "image_id": f"{row:032x}", "key": f"shards/{shard:05d}.parquet", "finding": finding,
                    **Labels.only(finding).as_columns(BINARY), "text": f"chest X-ray showing {finding}, case {row}",
                    "sha256": sha256(files[-1]),
                }
            )  # fmt: skip
        columns = {
            "image": pa.array([{"bytes": file, "path": ""} for file in files], IMAGE),
            "image_id": [row["image_id"] for row in rows[first:]],
        }
        table = pa.table(columns)
        store.put(rows[-1]["key"], encode_shard(table, image_features(table.schema)))
    catalog = store.put("catalog.parquet", parquet(pa.Table.from_pylist(rows, CATALOG)))
    metrics = LabelMetrics(vocabulary=list(BINARY)).write()
    store_record(root / "set", GENERATED_IMAGES, [catalog], metrics, name="many")
    return make_page(root / "page", root / "set", "--pictures", "thumbnails")


@pytest.mark.slow
@SIZES
def test_20000_pictures_are_seen_at_once_and_scroll_without_stalls(show, browser, many, tmp_path, size):
    """The first view within 2 s, at the best of three. Stalls are what keeps the page's own thread busy, in its CPU
    time, which other work on the machine does not change: no task of 50 ms, from which on one is felt (W3C, Long
    Tasks)."""
    first = []
    for _ in range(3):
        seen = show(many.as_uri(), size)
        seen.page.wait_for_selector(".cell")
        first.append(seen.ask(FIRST_VIEW))
    assert seen.page.inner_text(".count") == "20,000 pictures"
    browser.start_tracing(page=seen.page, path=tmp_path / "trace", categories=["toplevel"])
    gaps = [seen.page.evaluate(STEPS, [150, pixels]) for pixels in (60, 300, 1000)]
    seen.ask("scrollTo(0, document.scrollingElement.scrollHeight)")
    seen.page.wait_for_timeout(500)
    browser.stop_tracing()
    busy = longest_task(tmp_path / "trace")
    size_of_page = sum(path.stat().st_size for path in many.parent.rglob("*"))
    print(
        f"\n{size['width']} px: first view after {min(first):.0f} ms ({max(first):.0f}), {size_of_page / 1e6:.1f} MB; "
        f"longest task while scrolling {busy:.1f} ms of CPU; frames "
        + ", ".join(f"median {each[75]:.0f}, longest {each[-1]:.0f} ms" for each in gaps)
    )
    assert min(first) < 2000 and busy < 50
    last = seen.page.get_by_label("picture 20000,")
    pixels = np.asarray(Image.open(io.BytesIO(last.locator(".thumb").screenshot())).convert("L"), float)
    assert pixels.std() > 20  # what is scrolled to is there, and no empty box
    assert seen.complaints == []


def longest_task(trace: Path) -> float:
    """Of the page's own thread, in ms of CPU time."""
    events = json.loads(trace.read_text())["traceEvents"]
    names = {(one["pid"], one["tid"]): one["args"]["name"] for one in events if one["name"] == "thread_name"}
    tasks = [one for one in events if "RunTask" in one["name"] and "tdur" in one]
    return max(one["tdur"] for one in tasks if names.get((one["pid"], one["tid"])) == "CrRendererMain") / 1000
