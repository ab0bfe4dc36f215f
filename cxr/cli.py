"""The door every job enters by: arguments in, exit code out, one clear line for what a user can mend."""

import atexit
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import NoReturn, TypeVar

import tyro

from cxr.errors import BadInput, SomeFailed, StoreError, disk_full
from cxr.screen import in_notebook

DONE, BUG, BAD_INPUT, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
MOST_WORKERS = 10_000
Args = TypeVar("Args")


def run(args: type[Args], job: Callable[[Args], int]) -> None:
    """Parses the command line into `args`, runs the job and exits with its code (docs/scale.md)."""
    leave(guard(lambda: job(parse(args, sys.argv[1:], job.__doc__ or ""))))


def guard(main: Callable[[], int]) -> int:
    """What `main` returns, or the code of what it raises, whose one line it prints."""
    speak_unicode()
    for stop in (signal.SIGINT, signal.SIGTERM):  # what `ray job stop` and Kubernetes send does as Ctrl-C does
        signal.signal(stop, signal.default_int_handler)  # set, because shells have background jobs ignore SIGINT
    try:
        return main()
    except (BadInput, StoreError, OSError) as error:
        told = disk_full(error) or error  # a temporary file's, of a plan or a catalog
        if isinstance(told, OSError):
            raise
        print(f"{program()}: {' '.join(str(told).split())}", file=sys.stderr)
        return BAD_INPUT
    except SomeFailed as error:
        print(error, file=sys.stderr)
        return SOME_FAILED
    except KeyboardInterrupt:
        print(
            f"\n{program()}: stopped; what is stored stays, and the same command goes on:\n  {again()}", file=sys.stderr
        )
        return INTERRUPTED


def speak_unicode() -> None:
    """Names of files, what is written to files, and every process that is started from here: UTF-8, whatever the
    locale; a terminal that cannot print a character gets its number in its place.

    A locale without it (`LC_ALL=C` where Python may not mend that by itself) is fixed when the interpreter starts, so
    this process begins again as one in UTF-8 mode.
    """
    if sys.getfilesystemencoding() != "utf-8" and not in_notebook() and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def leave(code: int) -> NoReturn:
    """Ends the process without taking the interpreter down; a notebook's kernel, which `%run` runs jobs in, lives on.

    Arrow's threads outlive what they read: one that gives a Python buffer back to an interpreter that is being taken
    down ends the process with SIGABRT, when all the work was done.
    """
    if in_notebook():
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def parse(args: type[Args], argv: list[str], description: str) -> Args:
    """tyro, with its usage errors told in one line.

    Raises:
        BadInput: the command line does not fit `args`.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(args, args=argv, description=description, prog=program())
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise BadInput(f"{plain(said.getvalue())} (--help lists the options)") from None


def plain(text: str) -> str:
    """A boxed, coloured message as one line of words."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"[╭╮╰╯│─]+|Got errors:|For full helptext,? (see|run).*", " ", text, flags=re.DOTALL)
    return " ".join(text.split())


def check_workers(workers: int | None) -> None:
    """`BadInput` unless it is a number of workers that a cluster may have, or left to us."""
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise BadInput(f"--workers {workers}: give a number from 1 to {MOST_WORKERS}")


def program() -> str:
    return sys.argv[0].rsplit("/", 1)[-1]


def again(*extra: str) -> str:
    """The command line as typed, ready to paste, with more options behind it."""
    return shlex.join(["python", *sys.argv, *extra])
