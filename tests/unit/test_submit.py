"""What jobs/submit.py knows without a cluster: the real jobs' arguments, names of work, what travels."""

import importlib.util
import sys
from pathlib import Path

import pytest

from cxr.errors import BadInput

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def submit():
    spec = importlib.util.spec_from_file_location("submit", ROOT / "jobs" / "submit.py")
    module = sys.modules["submit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name(submit, line: str) -> str:
    job, *words = line.split()
    return submit.submission_id(job, submit.arguments(job, words))


def test_the_same_work_has_one_name_however_it_is_written(submit):
    first = name(submit, "generate tiny --out s3://bucket/a --seed 1 --steps 5")
    assert first.startswith("generate-")
    assert name(submit, "generate --steps=5 --seed 1 --out s3://bucket/a tiny") == first
    assert name(submit, "generate tiny --out s3://bucket/a --seed 1 --steps 5 --workers 7") == first


@pytest.mark.parametrize(
    "other",
    [
        "generate sd15 --out s3://bucket/a",
        "generate tiny --out s3://bucket/b",
        "generate tiny --out s3://bucket/a --seed 1",
        "generate tiny --out s3://bucket/a --retry-failed",
        "ingest tiny --source phantom:9 --out s3://bucket/a",
    ],
)
def test_other_work_has_another_name(submit, other):
    assert name(submit, other) != name(submit, "generate tiny --out s3://bucket/a")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("generate tiny --out out/a", "--out out/a: would stay on a machine"),
        ("evaluate tiny --real /r --synthetic /s --out /e --quarantine q", "--quarantine q: would stay"),
        ("generate tiny", "--out: missing"),
        ("generate tiny --prompt clear", "--out: missing"),
        ("submit generate", "no job is called 'submit'"),
        ("../x", "no job is called"),
    ],
)
def test_what_no_cluster_could_do_is_refused(submit, line, told):
    job, *words = line.split()
    with pytest.raises(BadInput, match=told):
        submit.arguments(job, words)


def test_code_and_named_files_travel_and_nothing_else(submit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lists").mkdir()
    Path("lists/prompts.txt").write_text("clear lungs")
    args = submit.arguments("generate", ["tiny", "--out", "/shared/a", "--prompts", "lists/prompts.txt"])
    with submit.packed(submit.files(args)) as folder:
        held = {path.name for path in Path(folder).iterdir()}
        assert held == {"cxr", "jobs", "lists"} and Path(folder, "lists/prompts.txt").read_text() == "clear lungs"
        assert not list(Path(folder).rglob("__pycache__"))


def test_a_file_outside_of_the_folder_is_refused(submit, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "prompts.txt").write_text("clear lungs")
    monkeypatch.chdir(tmp_path / "here")
    args = submit.arguments("generate", ["tiny", "--out", "/shared/a", "--prompts", "../prompts.txt"])
    with pytest.raises(BadInput, match="copy it here"):
        submit.files(args)
