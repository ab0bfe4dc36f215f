"""Claims, on a GPU, each with its goal in `GOALS`: sampling, training, features and classifiers beside the stock ways.

Everything at Stable Diffusion 1.5's shape with random weights, on which no time depends, in one process and in turns.
What is measured is kept in OUT/gpu.json at once, so the same command goes on after a cut-off; OUT/gpu.md is the table.
tests/gpu runs among it. On a machine without a network `benchmarks/gpu.sh` brings what its Python lacks.
`--smoke` does all of it at a tiny size on a CPU, in about a minute, so that it works where a GPU is lent for minutes.
"""

import gc
import platform
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from _gpu_figures import Figures, Kept, table
from _gpu_sampler import SamplerBench
from _gpu_training import TrainingBench
from _sd15_shape import SMOKE, Shape
from _side_by_side import verdict

from cxr.classify.config import ClassifyConfig

ROOT = Path(__file__).parents[1]
TESTS = "tests/gpu"
# In the order of their worth, as the time may end: name, goal. A ratio is to the stock way in the same run.
GOALS = {
    "machine's limit": "",
    "sampler, batch 1": "3 images/s on an H100",
    "sampler, batch 1, CUDA graphs": "1.9 times the stock pipeline",
    "sampler, largest batch": "6 images/s on an H100, 1.4 times the stock pipeline",
    "training step": "1.3 times diffusers' script",
    "same bytes": "0 made again, 1 with CUDA graphs",
    "few steps": "25 images/s on an H100",
    TESTS: "all pass",
    "features": "1 times pytorch-fid",
    "classifier": "1 times the usual loop",
    "sampler, largest batch, CUDA graphs": "",
    "training step, channels last": "",
    "sampler, batch 1, compiled": "",
    "sampler, batch 1, compiled with CUDA graphs": "",
    "training step, compiled": "",
}


def main(out: Path = Path("out/gpu"), smoke: bool = False, minutes: float = 9.0) -> None:
    """Args:
    out: the folder for gpu.json and gpu.md, and for what is made on the way.
    smoke: tiny, on whatever is here; no number counts.
    minutes: after which nothing more is begun.
    """
    start = time.monotonic()
    if not (smoke or torch.cuda.is_available()):
        print(
            "skipped: no CUDA device (benchmarks/gpu.sh pack readies what a machine with one lacks; --smoke tries all)"
        )
        return
    kept = Kept(out / "gpu.json", describe_machine(smoke))
    for name, measure in measurements(out / "made", smoke).items():
        if "ours" in kept.read().get(name, {}):
            continue
        if time.monotonic() - start > 60 * minutes:
            break
        began = time.monotonic()
        try:
            found: Figures | str = measure()
        except Exception as error:  # the others go on
            traceback.print_exc()
            found = f"{type(error).__name__}: {error}"
        kept.add(name, found, time.monotonic() - began)
        gc.collect()  # what a recorded network holds goes in a circle
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"{time.monotonic() - start:5.0f} s  {name}: {found}", flush=True)
    measured = kept.read()
    (out / "gpu.md").write_text(table(measured, GOALS, kept.made_on), encoding="utf-8")
    print((out / "gpu.md").read_text(encoding="utf-8"))
    done = [name for name in GOALS if "ours" in measured.get(name, {})]
    verdict(
        len(done) == len(GOALS), f"{len(done)} of {len(GOALS)} measured{', smoke: no number counts' if smoke else ''}"
    )


def measurements(folder: Path, smoke: bool) -> dict[str, Callable[[], Figures]]:
    """What measures each of `GOALS`, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    sampler = SamplerBench(SMOKE if smoke else Shape(), folder)
    classifier = ClassifyConfig(pretrained=False, epochs=1, **({"resize": 40, "size": 32, "batch": 4} if smoke else {}))
    training = TrainingBench(sampler, 2 if smoke else 4, 8 if smoke else 1024, classifier)
    how = {
        "machine's limit": sampler.peak,
        "sampler, batch 1": lambda: sampler.against_stock(0),
        "sampler, batch 1, CUDA graphs": lambda: sampler.against_stock(0, cuda_graphs=True),
        "sampler, largest batch": lambda: sampler.against_stock(-1),
        "training step": training.step,
        "same bytes": sampler.same_again,
        "few steps": sampler.few_steps,
        TESTS: run_tests,
        "features": training.features,
        "classifier": training.classify,
        "sampler, largest batch, CUDA graphs": lambda: sampler.against_stock(-1, cuda_graphs=True),
        "training step, channels last": lambda: training.step(channels_last=True),
        "sampler, batch 1, compiled": lambda: sampler.against_stock(0, compile=not smoke),
        "sampler, batch 1, compiled with CUDA graphs": lambda: sampler.against_stock(
            0, compile=not smoke, cuda_graphs=True
        ),
        "training step, compiled": lambda: training.step(compiled=not smoke),
    }
    return {name: how[name] for name in GOALS}


def run_tests() -> Figures:
    """tests/gpu, in a process of its own; without the project's conftest.py, which serves tests of other things."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--confcutdir={TESTS}", TESTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error|skipped)", done.stdout)}
    if done.returncode or not counts:
        raise RuntimeError(f"{TESTS} failed: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return Figures(counts.get("passed", 0), None, "tests passed", f"{counts.get('skipped', 0)} skipped")


def describe_machine(smoke: bool) -> dict[str, str]:
    import diffusers
    import transformers

    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "size": "smoke: no number counts" if smoke else "Stable Diffusion 1.5",
    }


if __name__ == "__main__":
    tyro.cli(main)
