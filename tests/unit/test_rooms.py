"""A room imports only rooms that stand below it; Ray stays behind the commands; a stage's settings load no network."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CXR = Path(__file__).parents[2] / "cxr"
STAGES = (
    "ingest", "pretrain", "finetune", "generate", "evaluate", "audit", "study", "nightly", "publish", "reader",
    "browse", "labs",
)  # fmt: skip
ROOMS = (
    ("__main__",), ("jobs",), ("recipes",), STAGES, ("detectors",), ("classify",), ("diffusion",), ("weights",),
    ("data",), ("embedded",), ("prompts",), ("artifact",), ("store",), ("cluster",), ("report",),
    ("cli", "cost", "errors", "progress", "screen", "tables", "ranks"),
)  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
LOWEST = len(ROOMS) - 1  # whose single files may know one another
HEAVY = ("torch", "diffusers", "transformers")
MODULES = sorted(path for path in CXR.rglob("*.py") if path != CXR / "__init__.py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ([f"cxr.{alias.name}" for alias in node.names] if node.module == "cxr" else [node.module or ""])


def room_of(path: Path) -> str:
    return path.relative_to(CXR).parts[0].removesuffix(".py")


def upward(path: Path) -> list[str]:
    """What the file imports and may not."""
    here, found = room_of(path), []
    for module in imports(path):
        if not module.startswith("cxr."):
            continue
        room = module.split(".")[1]
        below = LEVEL[room] > LEVEL[here] or LEVEL[room] == LOWEST
        if room != here and (not below or (room == "cluster" and here != "jobs")):
            found.append(module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CXR)))
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    assert upward(path) == []


def test_an_import_that_runs_upward_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        "data": "from cxr.study import job", "generate": "from cxr import cluster",
        "evaluate": "from cxr.audit import judge\nfrom cxr.detectors import details",
        "detectors": "from cxr.audit.duplicates import Levels",
    }  # fmt: skip
    for name, line in lines.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(line)
    monkeypatch.setitem(globals(), "CXR", tmp_path)
    assert upward(tmp_path / "data" / "a.py") == ["cxr.study"]
    assert upward(tmp_path / "generate" / "a.py") == ["cxr.cluster"]
    assert upward(tmp_path / "evaluate" / "a.py") == ["cxr.audit"]
    assert upward(tmp_path / "detectors" / "a.py") == ["cxr.audit.duplicates"]


@pytest.mark.parametrize("path", sorted(CXR.rglob("config.py")), ids=lambda path: path.parent.name)
def test_settings_load_no_network(path: Path) -> None:
    assert not [module for module in imports(path) if module.split(".")[0] in HEAVY]


def test_only_the_cluster_knows_ray() -> None:
    for path in MODULES:
        if room_of(path) not in ("cluster", "jobs"):
            assert not [module for module in imports(path) if module.split(".")[0] == "ray"], path


def test_only_diffusion_and_pretraining_know_its_libraries() -> None:
    others = {
        "single_file.py": {"diffusers"},  # converts a whole model in one file
        "foundation.py": {"transformers"},  # RAD-DINO
        "features.py": {"transformers"},  # RAD-DINO's processor
    }
    for path in MODULES:
        if room_of(path) not in ("diffusion", "pretrain"):
            named = {module.split(".")[0] for module in imports(path)} & {"diffusers", "transformers", "peft"}
            assert named <= others.get(path.name, set()), path
