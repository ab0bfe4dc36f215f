"""Every command that README and docs show: its program is there, and its options are known and can be read.

Run for real elsewhere: `make demo`, `make test` and the slow tests by .ci/run; generate (from templates, a list, one
prompt; dry; again), verify, ingest, finetune, evaluate, study and gan by the tests of these names in this folder.
"""

import importlib
import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from cxr import cli, recipes
from cxr.finetune.captions import captions_of

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/the-way-over.md")
TABLES = {
    "generate": recipes.GENERATE, "ingest": recipes.INGEST, "finetune": recipes.FINETUNE, "evaluate": recipes.EVALUATE,
    "study": recipes.STUDY, "gan": recipes.GAN, "nightly": recipes.NIGHTLY, "pretrain": recipes.PRETRAIN,
}  # fmt: skip
COMMAND = re.compile(r"(?:\.venv/bin/)?python (jobs/\w+\.py .*)")


def lines(text: str) -> list[str]:
    """Lines of the `sh` blocks, and what stands in backquotes."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return [line.strip() for block in blocks for line in block.splitlines()] + inline


def commands() -> list[list[str]]:
    found = [match[1] for page in PAGES for line in lines((ROOT / page).read_text()) if (match := COMMAND.match(line))]
    return [shlex.split(command, comments=True) for command in dict.fromkeys(found)]


@cache
def job(path: str) -> ModuleType:
    return importlib.import_module(f"cxr.jobs.{Path(path).stem}")


@pytest.mark.parametrize("words", commands(), ids=shlex.join)
def test_a_shown_command_can_be_read(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, rest = Path(words[0]).stem, words[1:]
    if name == "submit":
        name, *rest = rest
    args = cli.parse(job(f"jobs/{name}.py").Args, rest, "")
    if name in TABLES:
        assert args.recipe in TABLES[name]


def trainings() -> list[tuple[str, str]]:
    """Each fine-tuning that is shown, with the kind of source that its set was made of; the notebook's two last."""
    kinds, found = {}, []
    for name, *rest in commands():
        options = dict(pairwise(rest))
        if name == "jobs/ingest.py":
            kinds[options["--out"]] = options["--source"].partition(":")[0]
        elif name == "jobs/finetune.py":
            found.append((kinds[options["--data"]], shlex.join(rest)))
    notebook = (ROOT / "jobs/colab.ipynb").read_text()
    sources, words = re.findall(r"--source (\w+):", notebook), re.findall(r'\\"finetune\\": \\"(.*?)\\"', notebook)
    return [*found, *((kind, f"{each} --data real --out lora") for kind, each in zip(sources, words, strict=True))]


@pytest.mark.parametrize(("kind", "words"), trainings())
def test_a_shown_training_finds_captions(kind: str, words: str) -> None:
    """Of these sources phantoms and reports alone bring texts."""
    text = {"phantom": "Clear lungs.", "openi": "Clear lungs.", "hub": None}[kind]
    finetune = job("jobs/finetune.py")
    config = finetune.configured(cli.parse(finetune.Args, shlex.split(words), ""))
    assert captions_of([{"image_id": "a", "finding": "pneumonia", "text": text}], config, pytest.fail)


def test_commands_of_every_job_are_shown() -> None:
    assert {words[0] for words in commands()} == {f"jobs/{path.name}" for path in (ROOT / "jobs").glob("*.py")}


def test_shown_make_targets_are_there() -> None:
    shown = [
        match[1]
        for page in PAGES
        for line in lines((ROOT / page).read_text())
        if (match := re.match(r"make (\w+)", line))
    ]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert shown and set(shown) <= targets


def test_pages_that_are_linked_are_there() -> None:
    for page in (*PAGES, "CONTRIBUTING.md", "docs/model-card.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_the_map_names_all_that_is_there() -> None:
    """Of `jobs/` and `cxr/` every file and package, of `tests/` every folder."""
    found = (ROOT / "README.md").read_text().split("## Map")[1].split("```")[1]
    there = [path for folder in ("jobs", "cxr") for path in (ROOT / folder).iterdir() if not path.name.startswith("__")]
    there += [path for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("__")]
    names = {path.name if path.is_file() else f"{path.name}/" for path in there}
    assert {name for name in names if name not in found} == set()
