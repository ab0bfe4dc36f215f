"""Every command that README and docs show: its program is there, and its options are known and can be read. Links too.

Run for real elsewhere: `make demo`, `make test` and the slow tests by .ci/run; generate (from templates, a list, one
prompt; dry; again), verify, ingest, finetune, evaluate, study and gan by the tests of these names in this folder.
"""

import importlib
import re
import shlex
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

import cxr
from cxr import cli, recipes
from cxr.data.labels import Labels
from cxr.finetune.captions import write_captions

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def linked_pages() -> tuple[str, ...]:
    """README and the pages of `docs/`, in the order of its table of jobs, then of its other links."""
    text = (ROOT / "README.md").read_text()
    found = [link.partition("#")[0] for link in LINK.findall(text.partition("## The jobs")[2] + text)]
    return tuple(dict.fromkeys(["README.md", *(link for link in found if re.fullmatch(r"docs/.*\.md", link))]))


PAGES = linked_pages()
TABLES = {
    "generate": recipes.GENERATE, "ingest": recipes.INGEST, "finetune": recipes.FINETUNE, "evaluate": recipes.EVALUATE,
    "study": recipes.STUDY, "audit": recipes.AUDIT, "gan": recipes.GAN, "nightly": recipes.NIGHTLY,
    "pretrain": recipes.PRETRAIN,
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


def check_command(words: list[str]) -> None:
    """Its job can read its options and knows its recipe."""
    name, rest = Path(words[0]).stem, words[1:]
    if name == "submit":
        name, *rest = rest
    args = cli.parse(job(f"jobs/{name}.py").Args, rest)
    if name in TABLES:
        assert args.recipe in TABLES[name]


@pytest.mark.parametrize("words", commands(), ids=shlex.join)
def test_a_shown_command_can_be_read(words: list[str]) -> None:
    check_command(words)


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
    text = {"phantom": "Clear lungs.", "openi": "Clear lungs.", "hub": None, "table": None}[kind]
    finetune = job("jobs/finetune.py")
    config = finetune.build_config(cli.parse(finetune.Args, shlex.split(words)))
    lists = Labels.only("pneumonia").as_columns(("normal", "pneumonia"))
    row = {"finding": "pneumonia", "text": text, "view": None, "sex": None, "age": None, **lists}
    assert write_captions([row], ("normal", "pneumonia"), config, pytest.fail)


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


def test_readme_leads_to_every_page() -> None:
    assert set(PAGES[1:]) == {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}


def test_what_readme_says_was_found_stands_where_it_was_measured() -> None:
    found = re.findall(r"\d+\.\d+", (ROOT / "README.md").read_text().split("## What was found")[1].split("\n## ")[0])
    measured = "".join((ROOT / page).read_text() for page in (*PAGES[1:], "benchmarks/README.md"))
    assert found and [number for number in found if number not in measured] == []


def anchors(path: Path) -> set[str]:
    """Of a page's headings, as they are linked: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md", "k8s/README.md", "benchmarks/README.md"])
def test_what_a_page_links_is_there(page: str) -> None:
    for link in LINK.findall((ROOT / page).read_text()):
        if ":" in link:
            continue
        name, _, anchor = link.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


def names_in(folder: str) -> set[str]:
    """Files, and folders with a slash, but for hidden ones and Python's own."""
    paths = [path for path in (ROOT / folder).iterdir() if path.name[0] not in "._"]
    return {path.name if path.is_file() else f"{path.name}/" for path in paths}


def test_the_maps_name_all_that_is_there() -> None:
    """README every folder of the project and of `tests/`, every job and every run; `cxr` its rooms."""
    readme = (ROOT / "README.md").read_text()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {f"{path.partition('/')[0]}/" for path in tracked.splitlines() if "/" in path and path[0] != "."}
    tests = {name for name in names_in("tests") if name.endswith("/")}
    assert not {name for name in folders | tests if name not in readme.split("## Map")[1]}
    assert not {name for name in names_in("jobs") | names_in("runs") if name not in readme}
    rooms = set(re.findall(r"\w+", cxr.__doc__ or ""))
    assert not {name for name in names_in("cxr") if re.split(r"[./]", name)[0] not in rooms}
