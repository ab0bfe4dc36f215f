"""The commands: `cxr NAME ...`. Each module has `Args`, its options, and `main`, what it does."""

import ast
from pathlib import Path


def describe_jobs() -> dict[str, str]:
    """What each job does, by its name; none of them is imported for it."""
    files = sorted(path for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    texts = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in files}
    return {name: text.partition("\n")[0] for name, text in texts.items()}
