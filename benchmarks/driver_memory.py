"""Claim: the driver's memory stays below 1 GB while a job of 1,000,000 prompts is planned, interrupted and resumed.

Resident memory at its highest (ru_maxrss) of a process that does just that phase: plan from the templates; plan from a
CSV and make the first half; resume, make the rest and complete. The job's own code over Ray, but for a constant picture
in place of the sampler. The same with 1,000 prompts, beside it, shows what grows with N.
"""

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import tyro
from _side_by_side import verdict

LIMIT = 1000  # MB
FINDINGS = 10
Phase = Literal["templates", "half", "rest"]


def main(model: str = "tiny", prompts: int = 1_000_000, folder: Path | None = None, phase: Phase | None = None) -> None:
    """Without a phase: all of them, each in a process of its own."""
    if folder and phase:
        print(json.dumps(measured(phase, model, prompts, folder)))
        return
    highest = 0.0
    for count in (1000, prompts):
        with tempfile.TemporaryDirectory() as name:
            write_csv(Path(name, "prompts.csv"), count)
            for each in ("templates", "half", "rest"):
                told = child(each, model, count, name)
                print(
                    f"  {count:>9,} prompts, {each:9}: {told['mb']:4.0f} MB, {told['seconds']:4.0f} s, {told['what']}"
                )
                highest = max(highest, told["mb"])
    verdict(highest < LIMIT, f"at most {highest:.0f} MB resident in the driver (less than {LIMIT})")


def child(phase: Phase, model: str, prompts: int, folder: str) -> dict:
    words = ["--model", model, "--prompts", str(prompts), "--folder", folder, "--phase", phase]
    done = subprocess.run([sys.executable, __file__, *words], check=True, text=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def write_csv(path: Path, count: int) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "finding"])
        for i in range(count):
            table.writerow([f"Frontal chest radiograph, study {i}: patchy opacity in the left lung", f"class_{i % 10}"])


def measured(phase: Phase, model: str, prompts: int, folder: Path) -> dict:
    start = time.monotonic()
    what = run(phase, model, prompts, folder)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"mb": kilobytes * 1024 / 1e6, "seconds": time.monotonic() - start, "what": what}


def run(phase: Phase, model: str, prompts: int, folder: Path) -> str:
    from _dry import SIDE, run_some

    from cxr import recipes
    from cxr.generate import job
    from cxr.generate.plan import template_rows
    from cxr.prompts.lists import read_prompts
    from cxr.store import open_store

    config = recipes.replace_fields(
        recipes.tiny(), model=model, layout="shards", size=SIDE, per_finding=prompts // FINDINGS
    )
    templates = phase == "templates"
    rows = template_rows(config) if templates else read_prompts(folder / "prompts.csv", print)
    store = open_store(str(folder / (phase if templates else "set")))
    with tempfile.TemporaryDirectory() as temp:
        ready = job.prepare(store, config, rows, Path(temp), print)
        if templates:
            return f"planned {ready.plan.images:,} images"
        made = run_some(ready, -(-ready.plan.units // 2) if phase == "half" else ready.plan.units)
        if phase == "half":
            return f"made {made} of {ready.plan.units} units"
        return f"made {made} more units; the record names {job.complete(ready, 'dry', {}).made.count:,} images"


if __name__ == "__main__":
    tyro.cli(main)
