"""Downloads from a server that breaks: resumed, in pieces, held against checksums."""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cxr.data.sources import download as module
from cxr.data.sources.download import download
from cxr.errors import BadInput

DATA = np.random.default_rng(0).bytes(100_000)


@dataclass
class Server:
    """What it holds and how it behaves; what it was asked for."""

    files: dict[str, bytes]
    ranges: bool = True
    breaks: int = 0  # answers cut in the middle before it behaves
    address: str = ""
    asked: Counter = field(default_factory=Counter)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server({"/set/a.tgz": DATA})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range") if state.ranges else None
            state.asked[self.path, wanted] += 1
            data = state.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            first, last = (
                map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups()) if wanted else (0, len(data) - 1)
            )
            part = data[first : last + 1]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("ETag", hashlib.md5(data).hexdigest())
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.end_headers()
            cut = len(part) > 1 and state.breaks > 0
            state.breaks -= cut
            self.wfile.write(part[: len(part) // 2] if cut else part)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    state.address = f"http://127.0.0.1:{http.server_port}/set"
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "PIECE", 10_000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def fetch(server: Server, folder: Path) -> list[str]:
    notes: list[str] = []
    download(server.address, ["a.tgz"], folder, notes.append, wait=0)
    return notes


def pieces_asked(server: Server) -> int:
    return sum(n for (_, wanted), n in server.asked.items() if wanted and wanted != "bytes=0-0")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("breaks", [0, 3])
def test_arrives_whole(server: Server, tmp_path: Path, ranges: bool, breaks: int):
    server.ranges, server.breaks = ranges, breaks
    notes = fetch(server, tmp_path / "to")
    assert (tmp_path / "to/a.tgz").read_bytes() == DATA
    assert sorted(p.name for p in (tmp_path / "to").iterdir() if not p.name.endswith(".lock")) == [
        "a.tgz",
        "a.tgz.sha256",
    ]
    assert len(notes) == 1 and "gives no checksum" in notes[0]
    if ranges:
        assert pieces_asked(server) == 10 + breaks


def test_a_second_start_fetches_what_is_missing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "TRIES", 1)
    server.breaks = 3
    with pytest.raises(BadInput, match="what has arrived is kept: run the same command again"):
        fetch(server, tmp_path)
    assert not (tmp_path / "a.tgz").exists()
    arrived = sum(not p.name.endswith(".part") for p in tmp_path.glob(".a.tgz.*/*"))
    assert arrived, "pieces that arrived beside the broken ones"
    server.breaks, server.asked = 0, Counter()
    fetch(server, tmp_path)
    assert (tmp_path / "a.tgz").read_bytes() == DATA
    assert pieces_asked(server) == 10 - arrived


def test_a_third_start_asks_nothing(server: Server, tmp_path: Path):
    fetch(server, tmp_path)
    server.asked.clear()
    assert fetch(server, tmp_path) == [] and not server.asked


def test_damage_since_then_is_noticed(server: Server, tmp_path: Path):
    fetch(server, tmp_path)
    (tmp_path / "a.tgz").write_bytes(DATA[:-1])
    assert "damaged since it was downloaded" in fetch(server, tmp_path)[0]
    assert (tmp_path / "a.tgz").read_bytes() == DATA


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_published_checksums(server: Server, tmp_path: Path, algorithm: str):
    digest = hashlib.new(algorithm, DATA).hexdigest()
    server.files[f"/set/a.tgz.{algorithm}"] = f"{digest}  a.tgz\n".encode()
    assert fetch(server, tmp_path / "good") == []
    server.files[f"/set/a.tgz.{algorithm}"] = f"{digest[::-1]}  a.tgz\n".encode()
    with pytest.raises(BadInput, match=f"another {algorithm} than the publisher states"):
        fetch(server, tmp_path / "bad")
    assert [p.name for p in (tmp_path / "bad").iterdir()] == [".a.tgz.lock"]


def test_pieces_of_another_version_are_not_mixed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "TRIES", 1)
    server.breaks = 2
    with pytest.raises(BadInput):
        fetch(server, tmp_path)
    server.breaks, server.files["/set/a.tgz"] = 0, DATA[::-1]
    fetch(server, tmp_path)
    assert (tmp_path / "a.tgz").read_bytes() == DATA[::-1]


def test_no_such_file_and_no_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server.files.clear()
    with pytest.raises(BadInput, match=r"a\.tgz: the server says HTTP 404"):
        fetch(server, tmp_path)
    monkeypatch.setattr(module, "TRIES", 2)
    with pytest.raises(BadInput, match="not to be had") as caught:
        download("http://127.0.0.1:9", ["a.tgz"], tmp_path, print, wait=0)
    assert "\n" not in str(caught.value)
