"""Progress of long work: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    def __call__(self, count: int = 1, note: str = "") -> None:
        """Adds `count` to what is done; the note is shown after the numbers."""


@contextmanager
def progress(label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
    """Shows `done` of `total` units and yields what advances it; notes where a job resumes. Writes to stderr only."""
    if done:
        note(f"{label} goes on: {done} of {total} {unit} are there already")
    console = Console(stderr=True)
    with (
        show_bar(console, label, total, unit, done)
        if console.is_terminal
        else print_lines(label, total, unit, done) as advance
    ):
        yield advance


class Cell(Protocol):
    def __call__(self, row: str, column: object, text: str) -> None:
        """Writes into the table."""


@contextmanager
def grid(
    label: str, rows: Sequence[str], columns: Sequence[object], total: int, unit: str
) -> Iterator[tuple[Cell, Advance]]:
    """`progress` below a live table: yields what writes its cells, and what advances. The table needs a terminal.

    Args:
        columns: distinct as printed.
    """
    texts: dict[tuple[str, str], str] = {}

    def cell(row: str, column: object, text: str) -> None:
        texts[row, str(column)] = text

    def table() -> Table:
        shown = Table("", *map(str, columns))
        for row in rows:
            shown.add_row(row, *(texts.get((row, str(column)), "") for column in columns))
        return shown

    console = Console(stderr=True)
    below = (
        show_bar(console, label, total, unit, 0, table) if console.is_terminal else print_lines(label, total, unit, 0)
    )
    with below as advance:
        yield cell, advance


class LiveProgress(Progress):
    """Progress bars below another live display."""

    def __init__(self, *columns: ProgressColumn, top: Callable[[], RenderableType], console: Console) -> None:
        self.top = top
        super().__init__(*columns, console=console)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.top()
        yield from super().get_renderables()


@contextmanager
def show_bar(
    console: Console, label: str, total: int, unit: str, done: int, top: Callable[[], RenderableType] | None = None
) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + " · {task.fields[rate]} ·"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    start, advanced = time.monotonic(), 0
    bars = LiveProgress(*columns, top=top, console=console) if top else Progress(*columns, console=console)
    with bars as shown:
        task = shown.add_task(label, total=total, completed=done, rate="", note="")

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal advanced
            advanced += count
            rate = advanced / max(time.monotonic() - start, 1e-9)
            shown.update(task, advance=count, rate=f"{rate:.3g}/s", note=note)

        yield advance


@contextmanager
def print_lines(label: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    start, advanced = time.monotonic(), 0
    printed = start

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal advanced, printed
        advanced += count
        now = time.monotonic()
        if now - printed < SECONDS_BETWEEN_LINES and done + advanced < total:
            return
        printed = now
        rate = advanced / max(now - start, 1e-9)
        left = timedelta(seconds=round((total - done - advanced) / rate)) if rate else "?"
        text = f"{label}: {done + advanced}/{total} {unit}, {rate:.3g}/s, {left} left {note}"
        print(text.rstrip(), file=sys.stderr, flush=True)

    yield advance


def note(text: str) -> None:
    """A line that the user should know, on stderr."""
    print(f"note: {text}", file=sys.stderr)
