"""What is imported is declared, and whatever that brings along has an exact version in constraints.txt."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"cxr", *(path.stem for path in (ROOT / "jobs").glob("*.py"))}
NOTEBOOKS = {"IPython"}  # imported where a notebook has loaded it already


def imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_every_import_is_of_a_declared_dependency() -> None:
    files = [path for folder in ("cxr", "jobs") for path in (ROOT / folder).rglob("*.py")]
    modules = set(chain.from_iterable(map(imported, files))) - OURS - NOTEBOOKS - sys.stdlib_module_names
    lines = [*PROJECT["dependencies"], *EXTRAS["dicom"], *EXTRAS["mlflow"], *EXTRAS["tracking"]]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = metadata.packages_distributions()
    assert {name for name in modules if not declared & {*map(canonicalize_name, owners.get(name, []))}} == set()


def closure(lines: list[str]) -> set[str]:
    """Names of what these lines require, through all that is installed here."""
    waiting, known = [Requirement(line) for line in lines], {}
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), {"", *wanted.extras}
        if name == "cxr" or extras <= known.get(name, set()):
            continue
        known[name] = known.get(name, set()) | extras
        try:
            required = map(Requirement, metadata.requires(name) or ())
        except metadata.PackageNotFoundError:  # for another platform or Python
            del known[name]
            continue
        waiting += [one for one in required if not one.marker or any(one.marker.evaluate({"extra": e}) for e in extras)]
    return set(known)


def test_whatever_is_required_and_installed_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    needed = closure([*PROJECT["dependencies"], *chain.from_iterable(EXTRAS.values())])
    assert len(needed) > 100 and needed - pinned == set()
