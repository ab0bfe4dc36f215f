"""The owner's key: from the environment or a file for the owner's eyes only, one for all, never made in silence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cxr.data.lineage_key import VARIABLE, LineageKey, find_owner_key, key_file, owner_key
from cxr.errors import BadInput


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where there is no key yet."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "cxr"


def test_a_key_is_made_once_for_the_owner_alone(home: Path, capsys) -> None:
    assert find_owner_key() is None and not home.exists()  # to look is not to make
    key = owner_key()
    assert (home.stat().st_mode & 0o777, (home / "lineage.key").stat().st_mode & 0o777) == (0o700, 0o600)
    assert [path.name for path in home.iterdir()] == ["lineage.key"]
    assert re.fullmatch(r"[0-9a-f]{64}\n", (home / "lineage.key").read_text())
    said = capsys.readouterr().err
    assert str(home / "lineage.key") in said and said.count("\n") == 1
    assert owner_key() == find_owner_key() == key and capsys.readouterr().err == ""


def test_processes_that_make_it_at_once_have_one_key(home: Path) -> None:
    line = "import sys; from cxr.data.lineage_key import owner_key; sys.stdin.read(); print(owner_key().id)"
    command, pipes = [sys.executable, "-c", line], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, **pipes) for _ in range(4)]
    for process in started:
        process.stdin.close()
    told = [(process.stdout.read(), process.stderr.read(), process.wait()) for process in started]
    assert len({key for key, _, _ in told}) == 1 and not any(code for _, _, code in told), told
    assert sum(said.count(b"was made") for _, said, _ in told) == 1


def test_the_one_that_is_beaten_takes_the_winners(home: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    link = os.link

    def late(source: str, target: Path) -> None:
        Path(target).write_text("the winner's key of today")
        Path(target).chmod(0o600)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert owner_key() == LineageKey(b"the winner's key of today") and "was made" not in capsys.readouterr().err


def test_the_environment_comes_first_and_may_end_in_a_newline(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_file = owner_key()
    monkeypatch.setenv(VARIABLE, "sixteen letters!\n")
    assert owner_key() == find_owner_key() == LineageKey(b"sixteen letters!") != of_file
    monkeypatch.setenv(VARIABLE, "")  # as compose passes on what is not set
    assert owner_key() == of_file


@pytest.mark.parametrize("short", ["fifteen letters", " " * 20])
def test_a_short_key_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, short: str) -> None:
    monkeypatch.setenv(VARIABLE, short)
    with pytest.raises(BadInput, match=rf"^{VARIABLE}: too short") as error:
        owner_key()
    assert "fifteen" not in str(error.value)
    monkeypatch.delenv(VARIABLE)
    home.mkdir(parents=True)
    key_file().write_text("")
    key_file().chmod(0o600)
    with pytest.raises(BadInput, match=r"lineage.key: too short"):
        owner_key()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    owner_key()
    key_file().chmod(mode)
    for ask in (owner_key, find_owner_key):
        with pytest.raises(BadInput, match=f"chmod 600 {key_file()}"):
            ask()


def test_a_home_that_cannot_be_written_names_the_way_out(home: Path) -> None:
    home.parent.write_text("a file where the folder should be")
    with pytest.raises(BadInput, match=f"cannot be kept here.*set {VARIABLE}"):
        owner_key()


def test_a_key_shows_itself_nowhere() -> None:
    secret = b"a secret of an owner"
    assert "secret" not in repr(LineageKey(secret)) and len(LineageKey(secret).id) == 16
    assert secret.hex() not in LineageKey(secret).id + LineageKey(secret).pseudonym("") + LineageKey(secret).commitment(
        []
    )
