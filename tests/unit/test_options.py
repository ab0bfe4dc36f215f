"""Options are declared once: each field of a recipe is one, and `--help` shows the recipe's own values."""

import importlib
import re
import shlex
from collections.abc import Iterator
from types import ModuleType

import pytest
from pydantic import BaseModel

from cxr import __main__, cli
from cxr.errors import BadInput
from cxr.jobs import describe_jobs

JOBS = [importlib.import_module(f"cxr.jobs.{name}") for name in describe_jobs()]
WITH_RECIPES = [job for job in JOBS if hasattr(job, "Args") and hasattr(job.Args, "RECIPES")]
RECIPES = [(job, recipe) for job in WITH_RECIPES for recipe in job.Args.RECIPES]
ELSEWHERE = {  # given in another form, or by another name, by these options
    "arms": "arms", "arms_file": "arms", "patients": "patients", "budget": "training_budget",
}  # fmt: skip
NAMED = [f"{job.__name__.rpartition('.')[2]} {recipe}" for job, recipe in RECIPES]


def help_of(
    job: ModuleType, recipe: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> dict[str, str]:
    """What the help says of each option, by its name."""
    monkeypatch.setenv("COLUMNS", "129")  # from 130 on, long helps stand in two columns
    with pytest.raises(SystemExit) as stop:
        cli.parse(job.Args, [recipe, "--help"], job.main.__doc__)
    assert not stop.value.code
    _, *entries = re.split(r"\n\W*?--(?=[a-z])", capsys.readouterr().out)
    shown = {entry.split()[0]: " ".join(re.sub(r"[^\x20-\x7e]", " ", entry).split()) for entry in entries}
    assert len(shown) == len(entries)
    return shown


def leaves(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, object]]:
    """(option, field, value) of every field."""
    for name, value in config:
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{name}." if name in ("vae", "text", "denoiser") else "")
        else:
            yield prefix + ELSEWHERE.get(name, name).replace("_", "-"), name, value


@pytest.mark.parametrize(("job", "recipe"), RECIPES, ids=NAMED)
def test_every_field_is_an_option_and_help_shows_the_recipes_value(job, recipe, monkeypatch, capsys) -> None:
    shown = help_of(job, recipe, monkeypatch, capsys)
    for option, field, value in leaves(job.Args.RECIPES[recipe]()):
        assert option in shown
        if field not in ELSEWHERE:
            parts = [str(part) for part in value] if isinstance(value, tuple) else [shlex.quote(str(value))]
            assert any(f"(default: {with_.join(parts)})" in shown[option] for with_ in (" ", ",")), shown[option]


@pytest.mark.parametrize("job", WITH_RECIPES)
def test_each_option_has_a_sentence(job, monkeypatch, capsys) -> None:
    for line in help_of(job, next(iter(job.Args.RECIPES)), monkeypatch, capsys).values():
        name_and_text = re.split(r" \((?:default|required|repeatable)", line)[0]
        assert len(name_and_text.split()) > 2, line


@pytest.mark.parametrize("job", WITH_RECIPES, ids=lambda job: job.__name__.rpartition(".")[2])
def test_help_without_a_recipe_lists_them(job, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit):
        cli.parse(job.Args, ["--help"], job.main.__doc__)
    shown = capsys.readouterr().out
    for name, recipe in job.Args.RECIPES.items():
        assert re.search(rf"^  {name} +\S", shown, re.M) and recipe.__doc__


@pytest.mark.parametrize(
    ("words", "value"), [("--flip", True), ("--flip True", True), ("--flip=False", False), ("", True)]
)
def test_a_switch_takes_a_value_or_none(words: str, value: bool) -> None:
    from cxr.jobs import study

    args = cli.parse(study.Args, ["tiny", "--real", "r", "--out", "o", *words.split()])
    assert args.config.classifier.flip is value


@pytest.mark.parametrize("name", describe_jobs())
def test_every_job_has_a_line(name: str) -> None:
    assert f"`cxr {name} " in describe_jobs()[name]


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_the_entry_point_lists_the_jobs(words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert __main__.run(words) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in describe_jobs())


def test_an_unknown_job_is_refused() -> None:
    with pytest.raises(BadInput, match="no job is called 'generat'; did you mean generate"):
        __main__.run(["generat"])
