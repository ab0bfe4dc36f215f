"""What the study job refuses when its sets are read leaves nothing behind. Ray is not started."""

import contextlib
import importlib
from pathlib import Path

import numpy as np
import pytest

from cxr import cli, cluster
from cxr.data.catalog import CatalogSet
from cxr.errors import BadInput


@pytest.fixture(scope="module")
def job():
    return importlib.import_module("cxr.jobs.study")


@pytest.fixture(scope="module")
def twin_set(real_set: CatalogSet, stored_set) -> CatalogSet:
    """Real pictures in other files: larger ones of the same."""
    real = np.random.default_rng(1).integers(0, 256, (60, 32, 32), dtype=np.uint8)[:48]
    return stored_set("twins", real.repeat(2, 1).repeat(2, 2), finding=["normal", "pneumonia"] * 24,
                      metrics={"patients_seen": []})  # fmt: skip


def refuse(*given: object, **named: object) -> None:
    raise BadInput("no room")


@pytest.mark.parametrize(
    ("missing", "line"),
    [(None, "synthetic pictures are real ones"), ("session", "no room"), ("check_room", "no room")],
)
def test_a_refusal_leaves_nothing_in_out(
    job, real_set: CatalogSet, twin_set: CatalogSet, tmp_path: Path, monkeypatch, missing: str | None, line: str
) -> None:
    """Else the set without its copies would be refused there as another recipe's."""
    monkeypatch.setattr(cluster, "session", lambda *given, **named: contextlib.nullcontext())
    monkeypatch.setattr(cluster, "check_room", lambda *given: None)
    if missing:
        monkeypatch.setattr(cluster, missing, refuse)
    words = ["tiny", "--real", real_set.store.uri, "--synthetic", twin_set.store.uri, "--out", str(tmp_path / "out"),
             "--resize", "32", "--size", "32", "--allow-unchecked-copies", "--workers-per-trial", "2"]  # fmt: skip
    with pytest.raises(BadInput, match=line):
        job.main(cli.parse(job.Args, words))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("seeds", "warned"), [("3", True), ("1,2,3", False)])
def test_a_number_of_seeds_that_is_taken_for_a_seed_is_told(
    job, real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path, monkeypatch, capsys, seeds: str, warned: bool
) -> None:
    monkeypatch.setattr(cluster, "session", refuse)
    words = ["tiny", "--real", real_set.store.uri, "--synthetic", synthetic_set.store.uri, "--out",
             str(tmp_path / "out"), "--resize", "32", "--size", "32", "--allow-unchecked-copies",
             "--min-prompt-accuracy", "0", "--seeds", seeds]  # fmt: skip
    with pytest.raises(BadInput, match="no room"):
        job.main(cli.parse(job.Args, words))
    assert ("--seeds names seeds, and does not count them: trials with 3 alone" in capsys.readouterr().err) == warned


def test_what_is_given_as_the_audit_must_be_one_of_these_sets(
    job, real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path
) -> None:
    words = [
        "tiny",
        "--real",
        real_set.store.uri,
        "--synthetic",
        synthetic_set.store.uri,
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(BadInput, match=r"--audit .*: no finished audit; give the --out of jobs/audit\.py"):
        job.main(cli.parse(job.Args, [*words, "--audit", real_set.store.uri]))
    assert not (tmp_path / "out").exists()


def arms_of(job, *words: str) -> set[str]:
    given = ["tiny", "--real", "r", "--out", "o", *words]
    return {arm.name for arm in job.build_config(cli.parse(job.Args, given)).arms}


def test_a_budget_on_the_command_line_brings_its_controls(job, tmp_path: Path) -> None:
    """Under equal steps `duplicate_real_100` is the baseline again, and in epochs nothing is shown less often."""
    steps, epochs = arms_of(job), arms_of(job, "--training-budget", "epochs")
    assert steps - epochs == {"real_short_67", "real_short_50"} and epochs - steps == {"duplicate_real_100"}
    file = tmp_path / "arms.toml"
    file.write_text('[[arm]]\nname = "quarter"\nsteps = 25\n')
    assert arms_of(job, "--arms", str(file)) - steps == {"quarter"}


def test_a_primary_arm_on_the_command_line_must_be_there(job) -> None:
    with pytest.raises(BadInput, match=r"--primary 'synth_7': no arm .* is called so; give one of: synth"):
        arms_of(job, "--primary", "synth_7")


def test_sets_of_single_arms_are_named(job) -> None:
    words = ["tiny", "--real", "r", "--out", "o", "--synthetic", "s3://b/x=1", "--synthetic", "limited_10=s3://b/y"]
    places = job.synthetic_places(cli.parse(job.Args, words).synthetic)
    assert places == (["s3://b/x=1"], {"limited_10": "s3://b/y"})
    with pytest.raises(BadInput, match="would have two sets"):
        job.synthetic_places(["limited_10=a", "limited_10=b"])


def test_a_dry_run_counts_trials_and_times_a_step(
    job, real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path, capsys
) -> None:
    words = ["tiny", "--real", real_set.store.uri, "--synthetic", synthetic_set.store.uri, "--out",
             str(tmp_path / "out"), "--resize", "32", "--size", "32", "--allow-unchecked-copies",
             "--min-prompt-accuracy", "0", "--only", "synth_50", "--seeds", "1,2,3", "--dry-run"]  # fmt: skip
    assert job.main(cli.parse(job.Args, words)) == 0
    told = capsys.readouterr().out
    assert "makes: 9 trials, 3 arms (baseline, synth_50, real_short_67) with 3 seeds" in told
    assert "train: normal 20, pneumonia 20" in told and "as 5 steps took" in told
    assert not list(tmp_path.iterdir())
