"""What `cxr submit` knows without a cluster: the real jobs' arguments, names of work, what travels."""

import importlib
import shutil
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest

from cxr.errors import BadInput
from cxr.store import parquet

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def submit():
    return importlib.import_module("cxr.jobs.submit")


def name(submit, line: str) -> str:
    job, *words = line.split()
    return submit.submission_id(job, submit.parse_args(job, words))


def test_the_same_work_has_one_name_however_it_is_written(submit):
    first = name(submit, "generate tiny --out s3://bucket/a --seed 1 --steps 5")
    assert first.startswith("generate-")
    assert name(submit, "generate tiny --steps=5 --seed 1 --out s3://bucket/a") == first
    assert name(submit, "generate tiny --out s3://bucket/a --seed 1 --steps 5 --workers 7") == first
    assert name(submit, "generate tiny --out s3://bucket/a --seed 1 --steps 5 --price 2 --budget 9") == first


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
        submit.parse_args(job, words)


def test_code_and_named_files_travel_and_nothing_else(submit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lists").mkdir()
    Path("lists/prompts.txt").write_text("clear lungs")
    args = submit.parse_args("generate", ["tiny", "--out", "/shared/a", "--prompts", "lists/prompts.txt"])
    with submit.pack_files(submit.find_files(args)) as folder:
        held = {path.name for path in Path(folder).iterdir()}
        assert held == {"cxr", "lists"} and Path(folder, "lists/prompts.txt").read_text() == "clear lungs"
        assert not list(Path(folder).rglob("__pycache__"))


def test_a_file_outside_of_the_folder_is_refused(submit, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "prompts.txt").write_text("clear lungs")
    monkeypatch.chdir(tmp_path / "here")
    args = submit.parse_args("generate", ["tiny", "--out", "/shared/a", "--prompts", "../prompts.txt"])
    with pytest.raises(BadInput, match="copy it here"):
        submit.find_files(args)


@pytest.fixture
def project(submit, monkeypatch, tmp_path) -> Path:
    """A copy of the code with X-rays in every folder, under names of all kinds."""
    shutil.copy(ROOT / ".rayignore", tmp_path)
    for part in ("cxr", "jobs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cxr/my-xrays/IM0001", "cxr/my-xrays/deep/a.png", "cxr/scan.dcm", "cxr/data/IM7", "cxr/store/x.jpg",
                 "jobs/set.parquet", "jobs/jobs/IM2", "x.png", "table.csv", "data/normal/1.png"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"an X-ray")
    monkeypatch.setattr(submit, "CXR", tmp_path / "cxr")
    return tmp_path


def code(*parts: str) -> set[str]:
    """All that a job runs with: code, and what pyproject.toml says that the package holds beside it."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["cxr"]
    held = {path for pattern in data for path in (ROOT / "cxr").glob(pattern)}
    files = [path for part in parts for path in (ROOT / part).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix == ".py" or path in held}


def test_nothing_but_code_travels(submit, project):
    with submit.pack_files([]) as folder:
        assert {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()} == code(
            "cxr"
        )


def test_rays_own_submit_sends_the_same(project):
    """`ray job submit --working-dir .`, by the function that makes its package."""
    from ray._private.runtime_env.packaging import _dir_travel

    sent = set()
    _dir_travel(project, [], sent.add, include_gitignore=True)
    assert {path.relative_to(project).as_posix() for path in sent if path.is_file()} == code("cxr", "jobs")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x89PNG\r\n", "a picture"),
        (b"\xff\xd8\xff\xe0", "a picture"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"PK\x03\x04", "an archive"),
        (parquet(pa.table({"prompt": ["a"], "image": [b"x"]})), "pictures"),
        (parquet(pa.table({"image": [{"bytes": b"x"}]})), "pictures"),
        (b"prompt\nclear\n", ""),
        (parquet(pa.table({"prompt": ["a"], "count": [1]})), ""),
        (b"", ""),
    ],
)
def test_a_named_file_is_judged_by_its_content(submit, tmp_path, monkeypatch, content, told):
    monkeypatch.chdir(tmp_path)
    Path("prompts.csv").write_bytes(content)
    args = submit.parse_args("generate", ["tiny", "--out", "s3://bucket/a", "--prompts", "prompts.csv"])
    if not told:
        assert submit.find_files(args) == [Path("prompts.csv")]
        return
    with pytest.raises(BadInput, match=f"prompts.csv: holds {told}, and no data are sent"):
        submit.find_files(args)
