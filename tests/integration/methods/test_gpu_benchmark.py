"""`make gpu` works where it never ran: all of it at a tiny size on a CPU, with no more packages than a GPU's image has
and benchmarks/gpu-packages.txt names."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Of what an image with PyTorch for NVIDIA's GPUs brings along, that which is used here.
BROUGHT_ALONG = """
    accelerate anyio certifi charset-normalizer cloudpickle cuda-bindings cuda-pathfinder filelock fsspec h11
    hf-xet httpx httpcore huggingface-hub idna iniconfig jinja2 joblib markupsafe mpmath narwhals networkx
    numpy opencv-python-headless opt-einsum packaging pandas peft pillow pluggy protobuf psutil pyarrow
    pygments pytest pytest-timeout python-dateutil pyyaml regex requests rich safetensors scikit-learn scipy
    sentencepiece setuptools six sympy threadpoolctl tokenizers torch torchvision tqdm transformers triton
    typing-extensions urllib3
"""
OF_A_NEWER_HUB = "httpx2 httpcore2 truststore"  # where huggingface-hub wants them in place of httpx


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def link_packages(folder: Path) -> None:
    """Links these packages of this environment, and NVIDIA's libraries, into an empty folder."""
    wanted = {
        *BROUGHT_ALONG.split(),
        *OF_A_NEWER_HUB.split(),
        *(ROOT / "benchmarks/gpu-packages.txt").read_text().split(),
    }
    for package in importlib.metadata.distributions():
        name = plain(package.metadata["Name"])
        if name in wanted or name.startswith("nvidia-"):
            for part in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
                if not (folder / part).exists():
                    (folder / part).symlink_to(Path(str(package.locate_file(part))))


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    """Runs it without any other package, into a folder; the smallest of its ways."""
    packages = tmp_path_factory.mktemp("packages")
    link_packages(packages)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{packages}", "OMP_NUM_THREADS": "1"}

    def run(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", "benchmarks/gpu.py", "--smoke", "--out", str(out), *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=550)

    return run


@pytest.mark.slow
def test_all_is_measured_and_a_second_run_goes_on_where_the_first_was_cut_off(measure, tmp_path: Path) -> None:
    first = measure(tmp_path, "--minutes", "0.2")
    kept = json.loads((tmp_path / "gpu.json").read_text())["measured"]
    assert first.returncode == 0 and 1 <= len(kept) < 15, first.stderr
    done = measure(tmp_path)
    assert "claim holds: 15 of 15 measured, smoke: no number counts" in done.stdout, done.stderr[-3000:]
    found = json.loads((tmp_path / "gpu.json").read_text())["measured"]
    assert {name: found[name] for name in kept} == kept  # not measured again
    table = (tmp_path / "gpu.md").read_text()
    assert table.count("\n| ") == 2 + len(found) and "not measured" not in table
    assert all(entry["ours"] > 0 for name, entry in found.items() if entry["unit"] == "images/s")


def test_what_is_kept_is_of_one_machine_and_what_failed_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from _gpu_figures import Figures, Kept, table

    goals = {"a": "3 images/s", "b": "", "c": ""}
    kept = Kept(tmp_path / "out" / "gpu.json", {"device": "one"})
    kept.add("a", Figures(4.0, 2.0, "images/s", "batch 1"), 3.21)
    kept.add("b", "RuntimeError: no | room\nfor it", 1.0)
    assert set(kept.read()) == {"a", "b"} and Kept(kept.path, {"device": "another"}).read() == {}
    lines = table(kept.read(), goals, kept.made_on).splitlines()
    assert lines[-3] == "| a | 4 images/s | 2 images/s | 2.00 | 3 images/s | batch 1 |"
    assert lines[-2] == "| b | not measured | | |  | RuntimeError: no / room |"
    assert lines[-1] == "| c | not measured | | |  | the time was over before it |"


def test_without_a_gpu_nothing_is_measured(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("here is one")
    env = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [ROOT / "benchmarks/gpu.sh", "--out", tmp_path], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and done.stdout.startswith("skipped: no CUDA device"), done.stderr
    assert not list(tmp_path.iterdir())
