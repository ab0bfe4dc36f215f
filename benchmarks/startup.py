"""Claim: `--help` and the answer to bad input take less than 2 s of CPU time.

The CPU time of the whole child process, imports included: the median of five runs of each.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _side_by_side import TURNS, verdict

from cxr.cli import BAD_INPUT, DONE

LIMIT = 2.0  # s
JOBS = Path(__file__).parents[1] / "jobs"
COMMAND_LINES = {  # and what the answer has to hold
    "generate.py --help": "--prompts",
    "verify.py --help": "usage",
    "generate.py tinny --out out": "tinny",
    "generate.py tiny --out file": "is a file",
    "generate.py tiny --out out --sise 64": "--sise",
    "generate.py tiny --out out --findings Lung_Opacity": "Lung_Opacities",
    "generate.py tiny --out out --per-finding 0": "--per-finding",
    "generate.py tiny --out out --model sd16": "sd15",
    "generate.py tiny --out out --prompts missing.csv": "missing.csv",
    "generate.py tiny --out out --prompts columns.csv": "prompt",
    "generate.py tiny --out out --prompts bytes.txt": "bytes.txt",
    "generate.py tiny --out out --prompts finding.csv": "../../x",
    "verify.py missing": "no such folder",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "columns.csv").write_text("text,label\nclear lungs,normal\n")
        (folder / "bytes.txt").write_bytes(b"clear lungs\n\xe9\x80\n")
        (folder / "finding.csv").write_text("prompt,finding\nclear lungs,../../x\n")
        (folder / "file").write_text("")
        slowest = max(measure(words.split(), answer, folder) for words, answer in COMMAND_LINES.items())
    verdict(slowest < LIMIT, f"the slowest answer took {slowest:.2f} s of CPU time (less than {LIMIT})")


def measure(words: list[str], answer: str, folder: Path) -> float:
    """Prints and returns the median CPU seconds of a job's command line, run in `folder`."""
    expected = DONE if "--help" in words else BAD_INPUT
    seconds = []
    for _ in range(TURNS):
        before = children_cpu()
        child = subprocess.run(
            [sys.executable, JOBS / words[0], *words[1:]], capture_output=True, text=True, cwd=folder
        )
        seconds.append(children_cpu() - before)
        said = child.stdout + child.stderr
        assert child.returncode == expected and answer in said, f"{words}: exit code {child.returncode}\n{said}"
    median = statistics.median(seconds)
    print(f"  {median:.2f} s CPU  {' '.join(words)}")
    return median


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
