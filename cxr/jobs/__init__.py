"""The commands: `cxr NAME ...`. Each module has `Args`, its options, and `main`, what it does."""

import ast
import importlib
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from cxr.errors import BadInput, nearest


def describe_jobs() -> dict[str, str]:
    """What each job does, by its name; none of them is imported for it."""
    files = sorted(path for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    texts = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in files}
    return {name: text.partition("\n")[0] for name, text in texts.items()}


def import_job(name: str, known: Collection[str]) -> ModuleType:
    """The module of a job.

    Raises:
        BadInput: it is none of those known.
    """
    if name not in known:
        raise BadInput(f"no job is called {name[:60]!r}; {nearest(name, known)}")
    return importlib.import_module(f"cxr.jobs.{name}")
