"""What only a local folder can do wrong."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cxr.errors import BadInput, StoreError
from cxr.store import open_store
from cxr.store.local import LocalStore


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "set"))


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _left_by(store: LocalStore, pid: int, host: str = socket.gethostname()) -> Path:
    temp = store.root / "images" / f".tmp-{host}-{pid}-0"
    temp.parent.mkdir(parents=True, exist_ok=True)
    temp.write_bytes(b"half")
    return temp


def test_check_names_a_place_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(BadInput, match=r"/file is a file, not a folder"):
            open_store(str(tmp_path / place)).check()


def test_check_names_a_parent_that_is_not_writable(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may write everywhere
    with pytest.raises(BadInput, match="is not writable"):
        open_store(str(tmp_path / "a" / "b")).check()
    open_store(str(tmp_path)).check(write=False)
    assert not list(tmp_path.iterdir())


def test_check_for_reading_wants_a_folder(store):
    with pytest.raises(BadInput, match="no such folder"):
        store.check(write=False)


def test_check_of_a_path_no_disk_can_hold(tmp_path):
    with pytest.raises(BadInput, match="name too long"):
        open_store(str(tmp_path / ("x" * 300))).check()


def test_a_full_disk_stops_cleanly_and_keeps_what_was_there(store, monkeypatch):
    store.put("k", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (store.put, store.put_if_absent):
        with pytest.raises(StoreError, match="disk full; free space and run the same command again"):
            write("k", b"new content")
    assert store.get("k") == b"old"
    assert _files(store.root) == ["k"]


def test_a_key_below_an_object_is_a_clear_error(store):
    store.put("a", b"")
    with pytest.raises(StoreError, match="a/b cannot be written"):
        store.put("a/b", b"")


def test_a_writer_killed_in_the_middle_leaves_nothing_that_counts(store):
    """A process is killed with its temporary file written and not yet named."""
    script = (
        "import os, signal, sys; from cxr.store import open_store\n"
        "os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_store(sys.argv[1]).put('images/a.png', b'half')"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(store.root)])
    assert killed.returncode == -9
    assert len(_files(store.root)) == 1
    assert list(store.list()) == [] and not store.exists("images/a.png")
    store.tidy()
    assert _files(store.root) == []


def test_tidy_spares_living_writers(store):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead = _left_by(store, int(gone.stdout))
    alive = _left_by(store, os.getpid())
    elsewhere = _left_by(store, 1, "other-machine")
    old = _left_by(store, 2, "other-machine")
    os.utime(old, (0, 0))
    store.tidy()
    assert (dead.exists(), alive.exists(), elsewhere.exists(), old.exists()) == (False, True, True, False)


def test_delete_leaves_no_empty_folders(store):
    store.put("units/a/1", b"")
    store.put("images/1", b"")
    store.delete(["units/a/1"])
    assert sorted(p.name for p in store.root.iterdir()) == ["images"]


def test_commit_on_a_drive_without_hard_links(store, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert store.put_if_absent("c", b"1")
    assert not store.put_if_absent("c", b"2")
    assert store.get("c") == b"1"


def test_files_get_the_rights_that_the_users_umask_asks_for(store):
    before = os.umask(0o022)
    try:
        store.put("k", b"")
    finally:
        os.umask(before)
    assert (store.root / "k").stat().st_mode & 0o777 == 0o644


def test_a_listing_looks_only_into_the_folder_that_it_names(store, monkeypatch):
    for key in ("lease/00000001.json", "lease/old/00000001.json", "images/a.png"):
        store.put(key, b"1")
    seen, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: seen.append(Path(path).name) or scandir(path))
    assert [found.key for found in store.list("lease/0")] == ["lease/00000001.json"]
    assert sorted(found.key for found in store.list("lease/")) == ["lease/00000001.json", "lease/old/00000001.json"]
    assert list(store.list("absent/")) == list(store.list("images/a.png/x")) == []
    assert "images" not in seen
