"""A folder as the system shows one that this user may not read; root may read them all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def closed_folder(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """`closed_folder(path)`: it can no longer be listed."""

    def close(closed: Path) -> None:
        def denied(name: str) -> Callable:
            real = getattr(os, name)

            def listed(path: str | Path = "."):
                if Path(path) == closed:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
                return real(path)

            return listed

        for name in ("scandir", "listdir"):  # pathlib takes the one or the other, by version
            monkeypatch.setattr(os, name, denied(name))

    return close
