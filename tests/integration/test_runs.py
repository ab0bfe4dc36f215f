"""The scripts of whole studies in `runs/`: every command can be read; one goes through at the smallest size."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cxr.embedded.phantoms import draw_phantom
from cxr.prompts.findings import BINARY
from runs import privacy_curve
from tests.integration.test_readme import ROOT, check_command

RUNS = sorted((ROOT / "runs").glob("*.sh"))
# What a script calls Python by: it keeps the words of a command, each ended by a NUL, and the command by another.
KEEPS_WORDS = """#!/bin/sh
printf '%s\\0' "$@" '' >> "$WORDS"
"""
LAST = {  # of the others the study
    "demo": "jobs/browse.py", "audit_nih": "jobs/audit.py",
    "two_generators": "jobs/compare.py",
}  # fmt: skip
SMALLER = {
    "SOURCE": "phantom:360,7,normal+pneumonia",
    "RECIPE": "tiny --size 64",
    "TUNE": "tiny --size 64 --batch 4 --max-train-steps 2 --validate-every 2",
    "PER_FINDING": "132",
    "MAKE": "--steps 2",
    "EVALUATE": "tiny --size 64 --min-samples 12 --resamples 10 --workers 1",
    "CLASSIFIER": "--network cnn --pretrained False --size 32 --resize 32 --epochs 1 --batch 16 --seeds 1,2"
    " --allow-unfaithful-labels",  # of models of two steps
}


def run_dry(script: Path, tmp_path: Path, ends: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the script with a Python that only keeps the words of its commands in `words`, and `ends` so, in shell."""
    python = tmp_path / "python"
    (tmp_path / "manifest.csv").touch()
    python.write_text(KEEPS_WORDS + ends)
    python.chmod(0o755)
    env = {"PYTHON": str(python), "WORDS": str(tmp_path / "words"), "NIH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    return subprocess.run([script], env=env | {"OUT": str(tmp_path / "out")}, capture_output=True, text=True)


def commands_of(script: Path, tmp_path: Path, ends: str = "") -> list[list[str]]:
    """The words of each job that the script runs, as its shell expands them, with its own defaults; see `run_dry`."""
    run_dry(script, tmp_path, ends).check_returncode()
    words = tmp_path / "words"
    commands = [command.split("\0") for command in words.read_text().removesuffix("\0\0").split("\0\0")]
    return [command for command in commands if command[0].startswith("jobs/")]


@pytest.mark.parametrize("script", RUNS, ids=lambda script: script.name)
def test_every_command_of_a_run_can_be_read(script: Path, tmp_path: Path) -> None:
    commands = commands_of(script, tmp_path)
    assert [words[0] for words in commands][-1] == LAST.get(script.stem, "jobs/study.py")
    for words in commands:
        check_command(words)


@pytest.mark.parametrize("name", ["own_xrays", "two_generators"])
def test_too_few_x_rays_for_near_duplicates_do_not_end_a_run(name: str, tmp_path: Path) -> None:
    """An evaluation then ends with exit code 3, and the study takes the whole set; every other code ends the run."""
    script, few = ROOT / "runs" / f"{name}.sh", '[ "$1" != jobs/evaluate.py ] || exit 3\n'
    for ends, taken in ((few, "synthetic"), ("", "clean")):
        (tmp_path / "words").unlink(missing_ok=True)
        studies = [words for words in commands_of(script, tmp_path, ends) if words[0] == "jobs/study.py"]
        assert {Path(words[words.index("--synthetic") + 1]).name for words in studies} == {taken}
        assert {"--allow-unchecked-copies" in words for words in studies} == {taken == "synthetic"}
    with pytest.raises(subprocess.CalledProcessError):
        commands_of(script, tmp_path, few.replace("3", "2"))


def test_who_has_images_with_wrong_labels_is_told_how_to_go_on(tmp_path: Path) -> None:
    done = run_dry(ROOT / "runs" / "own_xrays.sh", tmp_path, '[ "$1" != jobs/study.py ] || exit 2\n')
    assert done.returncode == 2 and "Open " not in done.stdout and done.stderr.count("\n") == 1
    assert f'TUNE="tiny --max-train-steps 1000 --captions instance" OUT={tmp_path}/out-longer' in done.stderr
    assert 'STUDY="tiny --allow-unfaithful-labels"' in done.stderr


def test_the_privacy_curve_is_of_each_promise_from_the_strictest_to_none(tmp_path: Path, capsys) -> None:
    for name, right in (("none", 27), ("8", 17), ("1", 15)):
        promise = {} if name == "none" else {"privacy": {"epsilon": float(name), "sigma": 8 / float(name)}}
        quality = {"validation": {"mse": right / 100, "kid": 1.5}, "base": {"mse": 0.4, "kid": 5.0}, **promise}
        found = {"auc": right / 30, "auc_low": right / 30 - 0.1, "auc_high": right / 30 + 0.1}
        guessed = {"right": right, "guesses": 30, "p": 0.5, "epsilon": 0.25}
        tests = [{"name": privacy_curve.MEMBERSHIP, "metrics": found},
                 {"name": "extraction of canaries, by details", "metrics": {}},
                 {"name": "canaries: patients left in or out by a coin", "metrics": guessed}]  # fmt: skip
        for key, data in {"model/record.json": {"metrics": quality}, "audit/audit.json": {"tests": tests}}.items():
            file = tmp_path / f"epsilon-{name}" / key
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(data))
    privacy_curve.main(tmp_path)
    _, _, *rows, base = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["1", "8", "none"]
    assert rows[1] == "| 8 | 1 | 0.170 | 1.5 | 0.567 (0.467 to 0.667) | 17 of 30, p = 0.5 | 0.25 |"
    assert base == "of the base: error 0.400, kernel distance 5.0"
    with Image.open(tmp_path / "privacy_curve.png") as picture:
        assert min(picture.size) > 400


def test_the_audit_of_real_x_rays_is_skipped_where_there_are_none(tmp_path: Path) -> None:
    env = {"NIH": str(tmp_path), "OUT": str(tmp_path / "out"), "PYTHON": "false", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([ROOT / "runs" / "audit_nih.sh"], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"skipped: no manifest.csv in {tmp_path}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", RUNS, ids=lambda script: script.name)
def test_a_run_is_clean_shell(script: Path) -> None:
    if not (shellcheck := shutil.which("shellcheck")):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_make_demo_runs_the_first_of_them() -> None:
    done = subprocess.run(["make", "--no-print-directory", "-n", "demo"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].endswith("runs/demo.sh")


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_several_findings_go_the_whole_way(jobs, tmp_path: Path) -> None:
    """What is asked for has the labels of the training part, and evaluation and study speak of each finding."""
    tune = "tiny --size 64 --batch 4 --max-train-steps 2 --validate-every 2 --validation-images 4 --sampling-steps 2"
    small = {
        **SMALLER,
        "SOURCE": "phantom:240,7,several",
        "IMAGES": "180",
        "TUNE": tune,
        "STUDY": f"tiny {SMALLER['CLASSIFIER']}",
    }
    env = jobs.env({**small, "OUT": str(tmp_path), "PYTHON": sys.executable})
    done = subprocess.run([ROOT / "runs" / "several_findings.sh"], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "prompts: as" in done.stderr and "of its" in done.stderr
    record = json.loads((tmp_path / "synthetic" / "record.json").read_text())
    assert record["made"]["count"] == 180 and set(record["inputs"]) == {"model", "lora", "plan", "like"}
    findings = ["cardiomegaly", "effusion", "nodule"]
    assert (record["metrics"]["vocabulary"], record["metrics"]["exclusive"]) == (findings, False)
    assert (tmp_path / "quality" / "quality.json").is_file()
    assert json.loads((tmp_path / "study" / "results.json").read_text())["classes"] == findings


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_few_real_data_with_a_generator_for_each_arm(jobs, tmp_path: Path) -> None:
    """None of the two generators saw more than its arm, so no answer is taken back."""
    env = jobs.env({**SMALLER, "OUT": str(tmp_path), "PYTHON": sys.executable})
    done = subprocess.run([ROOT / "runs" / "limited_data.sh"], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "study" / "results.json").read_text())
    arms = {source["name"]: source["arms"] for source in found["sources"]}
    assert arms == {"real": [], "synthetic of limited_10": ["limited_10"], "synthetic of limited_25": ["limited_25"]}
    assert found["primary"] == "limited_10" and not any("may have seen" in line for line in found["details"])
    recipes = [json.loads((tmp_path / share / "model" / "record.json").read_text())["recipe"] for share in ("10", "25")]
    assert [recipe["patients"] for recipe in recipes] == [10, 25]


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_a_folder_of_few_x_rays_goes_the_whole_way(jobs, tmp_path: Path) -> None:
    """The student's way: nothing but two folders. Near-duplicates cannot be told among so few, and study says so."""
    for number in range(120):
        drawn = draw_phantom(3, number, BINARY, 64)
        file = tmp_path / "my x-rays" / drawn.attributes.findings[0] / f"IM_{number // 2:03d}_{number % 2}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.pixels).save(file)
    tune = "tiny --size 64 --batch 4 --max-train-steps 2 --validate-every 2 --captions instance"
    study = f"tiny {SMALLER['CLASSIFIER']} --only synth_50"
    asked = {"SOURCE": f"folder:{tmp_path}/my x-rays", "PATIENTS": "IM_([0-9]+)_", "PER_FINDING": "45", "TUNE": tune,
             "STUDY": study, "OUT": str(tmp_path / "out"), "PYTHON": sys.executable}  # fmt: skip
    env = jobs.env({**SMALLER, **asked})
    done = subprocess.run([ROOT / "runs" / "own_xrays.sh"], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "evaluate cannot tell near-duplicates (100 needed)" in done.stdout and "no patient" not in done.stderr
    assert 'prompts: "chest X-ray showing normal", "chest X-ray showing pneumonia", with which' in done.stderr
    assert "clean: not written: near-duplicates cannot be told" in done.stderr
    results = json.loads((tmp_path / "out" / "study" / "results.json").read_text())
    assert results["primary"] == "synth_50" and "near-duplicates could not be told" in results["allowed"][0]


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_two_generators_stand_side_by_side(jobs, tmp_path: Path) -> None:
    """The researcher's way: a study of each, and which set each took is told from the other."""
    small = {"SOURCE": "phantom:360,7,normal+pneumonia", "SPLIT": "", "FINDINGS": "normal,pneumonia"}
    study = f"tiny {SMALLER['CLASSIFIER']} --only synth_100"
    env = jobs.env({**SMALLER, **small, "STUDY": study, "OUT": str(tmp_path), "PYTHON": sys.executable})
    done = subprocess.run([ROOT / "runs" / "two_generators.sh"], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "compared" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["synthetic_set"] for row in rows if row["arm"] == "synth_100"}) == 2
