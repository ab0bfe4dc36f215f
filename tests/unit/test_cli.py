"""The door of every job: exit codes, one line for what a user can mend, and no traceback for it."""

import errno
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cxr import cli
from cxr.errors import BadInput, StoreError


@dataclass(frozen=True)
class Args:
    recipe: str
    """Which one."""
    count: int = 3
    """How many."""


def run(monkeypatch: pytest.MonkeyPatch, job, *argv: str) -> int:
    """The exit code of `job` under `cli.run`; signal handling is put back as it was, and this process stays."""
    monkeypatch.setattr(sys, "argv", ["jobs/some_job.py", *argv])
    monkeypatch.setattr(cli, "leave", sys.exit)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as stop:
            cli.run(Args, job)
    finally:
        signal.signal(signal.SIGTERM, before)
    return stop.value.code or 0


def raising(error: BaseException):
    def job(args: Args) -> int:
        raise error

    return job


def test_the_job_gets_its_arguments_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    got = []
    assert run(monkeypatch, lambda args: got.append(args) or 3, "--recipe", "tiny", "--count", "7") == 3
    assert got == [Args("tiny", 7)]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--recipe"],
        ["--recipe", "a", "--count", "many"],
        ["--recipe", "a", "--cuont", "3"],
        ["--recipe", "a", "extra"],
        ["--recipe", "a", "--count", ""],
    ],
    ids=" ".join,
)
def test_a_usage_error_is_one_line(monkeypatch, capsys: pytest.CaptureFixture, argv: list[str]) -> None:
    assert run(monkeypatch, raising(AssertionError("the job must not run")), *argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("some_job.py: ") and said.err.endswith("(--help lists the options)\n")
    assert said.err.count("\n") == 1
    assert not set("╭│╰─\x1b") & set(said.err)


def test_a_usage_error_names_the_option(monkeypatch, capsys: pytest.CaptureFixture) -> None:
    run(monkeypatch, raising(AssertionError()), "--recipe", "a", "--count", "many")
    assert "--count" in capsys.readouterr().err


def test_help_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def job(args: Args) -> int:
        """What the job is for."""
        raise AssertionError

    assert run(monkeypatch, job, "--help") == 0
    said = capsys.readouterr()
    assert "What the job is for." in said.out and "--count" in said.out
    assert said.err == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"]])
def test_help_whose_reader_has_gone_ends_in_silence(monkeypatch, words: list[str], unbuffered: str) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    command = [sys.executable, "-m", "cxr", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("kind", [BadInput, StoreError])
def test_what_a_user_can_mend_is_one_line_and_2(monkeypatch, capsys: pytest.CaptureFixture, kind: type) -> None:
    assert run(monkeypatch, raising(kind("x.csv: line 3:\n  is wrong")), "--recipe", "a") == 2
    assert capsys.readouterr().err == "some_job.py: x.csv: line 3: is wrong\n"


def test_a_full_disk_is_one_line_and_2_wherever_it_is(monkeypatch, capsys: pytest.CaptureFixture) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/plan.parquet")
    assert run(monkeypatch, raising(full), "--recipe", "a") == 2
    told = "some_job.py: /tmp/plan.parquet: disk full; free space and run the same command again\n"
    assert capsys.readouterr().err == told


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["jobs/some_job.py", "--recipe", "a"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ZeroDivisionError):
            cli.run(Args, raising(ZeroDivisionError()))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys: pytest.CaptureFixture) -> None:
    assert run(monkeypatch, raising(KeyboardInterrupt()), "--recipe", "my recipe") == 130
    said = capsys.readouterr().err
    assert "the same command goes on" in said
    assert said.endswith("  python jobs/some_job.py --recipe 'my recipe'\n")


@pytest.mark.parametrize("words", [["a b"], ["it's", "$HOME", "`x`"], ["", "*", 'say "no"'], ["ünï\ncode", "--x=1;2"]])
def test_the_command_to_go_on_survives_the_shell(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["jobs/x.py", *words])
    assert shlex.split(cli.again("--retry-failed")) == ["python", "jobs/x.py", *words, "--retry-failed"]
    shown = [sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))"]
    line = cli.again().replace("python", shlex.join(shown), 1)
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert said.strip() == ascii(["jobs/x.py", *words])


@pytest.mark.parametrize(
    ("called", "name", "again"),
    [
        (["/bin/cxr", "generate", "tiny"], "cxr generate", "cxr generate tiny --more"),
        (["/x/cxr/__main__.py", "generate", "tiny"], "cxr generate", "python -m cxr generate tiny --more"),
        (["jobs/generate.py", "tiny"], "generate.py", "python jobs/generate.py tiny --more"),
    ],
)
def test_the_command_to_go_on_is_as_it_was_called(monkeypatch, called: list[str], name: str, again: str) -> None:
    monkeypatch.setattr(sys, "argv", called)
    assert (cli.program(), cli.again("--more")) == (name, again)


SLOW_JOB = """
import time
from dataclasses import dataclass
from cxr import cli

@dataclass(frozen=True)
class Args:
    out: str

def main(args):
    print("started", flush=True)
    time.sleep(500)

cli.run(Args, main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stopped_job_ends_with_130_and_no_traceback(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW_JOB)
    command = [sys.executable, str(script), "--out", "a place"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "started\n"
        os.kill(job.pid, number)
        _, said = job.communicate(timeout=300)
    assert job.returncode == 130
    assert "Traceback" not in said
    assert said.strip().endswith("slow.py --out 'a place'")


ABORTS_WHEN_UNLOADED = """
import atexit, ctypes
from dataclasses import dataclass
from cxr import cli

@dataclass(frozen=True)
class Args:
    pass

def main(args):
    library = ctypes.CDLL(None)
    library.__cxa_atexit(ctypes.cast(library.abort, ctypes.c_void_p), None, None)
    atexit.register(print, "tidied")
    print("done")
    return 3

cli.run(Args, main)
"""


def test_a_library_that_aborts_while_it_is_unloaded_does_not_change_the_exit_code(tmp_path: Path) -> None:
    script = tmp_path / "aborts.py"
    script.write_text(ABORTS_WHEN_UNLOADED)
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "done\ntidied\n")


SPEAKS = """
import locale, os, pathlib, subprocess, sys
from cxr import cli

def main():
    pathlib.Path(sys.argv[1]).write_text("\\u00e4")
    print("r\\u00f6ntgen \\u2713", sys.argv[1])
    sys.stderr.write("\\u2713\\n")
    child = "import sys; print(sys.getfilesystemencoding())"
    print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip())
    return 3

cli.leave(cli.guard(main))
"""
PLAIN = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "terminal",
    [
        PLAIN,
        {"LC_ALL": "C", "TERM": "dumb"},
        {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C.UTF-8"},
        {"LC_ALL": "C.UTF-8"},
    ],
)
def test_any_terminal_and_locale_can_be_spoken_to(tmp_path: Path, terminal: dict[str, str]) -> None:
    """What it cannot print becomes numbers; files, their names and started processes are in UTF-8."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHONUTF8", "PYTHONIO"))}
    (tmp_path / "speaks.py").write_text(SPEAKS)
    command = [sys.executable, str(tmp_path / "speaks.py"), "ausg\u00e4be"]
    done = subprocess.run(command, cwd=tmp_path, env=kept | terminal, capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (3, False), done.stderr
    assert done.stdout.endswith(b"utf-8\n")
    assert (tmp_path / "ausg\u00e4be").read_bytes() == "\u00e4".encode()


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / "speaks.py").write_text(SPEAKS)
    command = [sys.executable.encode(), str(tmp_path / "speaks.py").encode(), b"\xe4"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, capture_output=True, check=False
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (3, False), done.stderr


def test_a_python_without_what_cxr_needs_is_named_in_one_line() -> None:
    """As where a cluster's `python` is another than that of the environment which started it."""
    hides = "import runpy, sys; sys.modules['tyro'] = None; sys.argv = ['cxr']; runpy.run_module('cxr', alter_sys=True)"
    done = subprocess.run([sys.executable, "-c", hides], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"cxr: {sys.executable} has not what cxr needs" in done.stderr
