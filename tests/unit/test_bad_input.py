"""Bad input of the jobs: one clear line, exit code 2, within two seconds of CPU time, nothing written."""

import importlib
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cxr import cli
from cxr.errors import BadInput
from tests.words import parse_options

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "jobs"
CPU_SECONDS = 2.0

PROMPT_FILES: dict[str, bytes] = {
    "empty.csv": b"",
    "header.csv": b"prompt,finding\n",
    "columns.csv": b"text,label\nclear lungs,normal\n",
    "bytes.txt": b"clear lungs\n\xff\xfe\xfa\n",
    "climbs.csv": b"prompt,finding\nclear lungs,../../x\n",
    "slash.csv": b"prompt,finding\nclear lungs,a/b\n",
    "long.csv": b"prompt,finding\nclear lungs," + b"x" * 300 + b"\n",
    "nul.jsonl": b'{"prompt": "clear lungs", "finding": "a\\u0000b"}\n',
    "none.csv": b"prompt,count\nclear lungs,0\n",
    "minus.csv": b"prompt,count\nclear lungs,-4\n",
    "absurd.csv": b"prompt,count\nclear lungs,1000000000000\n",
    "altogether.csv": b"prompt,count\n" + b"clear lungs,1000000\n" * 101,
    "seed.csv": b"prompt,seed\nclear lungs,-1\n",
    "prompts.docx": b"PK\x03\x04",
    "good.txt": b"clear lungs\n",
}

# What a user types behind the program's name -> what the one line must say. {tmp} is the test's folder.
WRONG = {
    "": "give a recipe first: tiny, tiny_fast, sd15, sd21",
    "--out {tmp}/out tiny": "give a recipe first",
    "tiny": "--out: missing; give a local folder",
    "tinny --out {tmp}/out": "did you mean tiny",
    "sd16 --out {tmp}/out": "did you mean sd15 or sd21|did you mean sd21 or sd15",
    "tiny --out {tmp}/out --findings Lung_Opacity": "did you mean Lung_Opacities",
    "tiny --out {tmp}/out --findings normal,normal": "names a finding twice",
    "tiny --out {tmp}/out --findings ../../x": "--findings: finding '../../x' cannot be a folder name",
    "tiny --out {tmp}/out --model tinny": "did you mean tiny",
    "tiny --out {tmp}/out --model runwayml/stable-diffusion-v1-5": "use sd15",
    "tiny --out {tmp}/out --model owner/name@main": "40 hex digits",
    "tiny --out {tmp}/out --model {tmp}": "model_index.json",
    "tiny --out {tmp}/out --model {tmp}/nowhere": "no such",
    "tiny --out {tmp}/out --lora {tmp}/good.txt": "not a .safetensors file",
    "tiny --out {tmp}/out --per-finding 0": "--per-finding '0'",
    "tiny --out {tmp}/out --per-finding -3": "--per-finding '-3'",
    "tiny --out {tmp}/out --per-finding 10000000000": "--per-finding '10000000000'",
    "tiny --out {tmp}/out --per-finding many": "--per-finding",
    "tiny --out {tmp}/out --workers 0": "--workers 0",
    "tiny --out {tmp}/out --workers 1000000": "--workers 1000000",
    "tiny --out {tmp}/out --batch 0": "--batch '0'",
    "tiny --out {tmp}/out --size 100": "--size '100'",
    "tiny --out {tmp}/out --layout tar": "--layout",
    "tiny --out {tmp}/out --seed -1": "--seed '-1'",
    "tiny --out {tmp}/out --wrokers 2": "--wrokers",
    "tiny --out {tmp}/good.txt": "good.txt is a file, not a folder",
    "tiny --out {tmp}/good.txt/below": "good.txt is a file, not a folder",
    "tiny --out s3://a/b": "no valid bucket name",
    "tiny --out gs://bucket/x": "give a local path or s3://bucket/prefix",
    "tiny --out {tmp}/out --prompt clear --findings normal": "--prompt brings its own .*leave out --findings",
    "tiny --out {tmp}/out --prompt clear --prompts {tmp}/good.txt": "give one of the two",
    "tiny --out {tmp}/out --like x --prompt clear": "--like asks for what a set has",
    "tiny --out {tmp}/out --like x --findings normal": "--like brings its own findings and counts",
    "tiny --out {tmp}/out --images 5": "--images is of --like",
    "tiny --out {tmp}/out --balance sex": "--balance is of --like",
    "tiny --out {tmp}/out --accept label": "--accept: give --quota too",
    "tiny --out {tmp}/out --quota 5": "--quota is of --accept",
    "tiny --out {tmp}/out --accept lable --quota 5": "--accept 'lable': no test is called 'lable'; did you mean label",
    "tiny --out {tmp}/out --accept label --quota 5": "--accept: give --real too",
    "tiny --out {tmp}/out --real x": "--real is of --accept",
    "tiny --out {tmp}/out --accept label --quota 5 --real x --like y": "leave out --like",
    "tiny --out {tmp}/out --accept label --quota 5 --real x --per-finding 9": "--per-finding: --quota takes its place",
    "tiny --out {tmp}/out --accept label --quota 5 --real x --layout shards": "--layout shards: --accept takes out",
    "tiny --out {tmp}/out --accept label --quota 5 --real {tmp}/nowhere": "nowhere",
    "tiny --out {tmp}/out --accept label --quota 5 --tries 0": "--tries",
    "tiny --out {tmp}/out --like x --images 0": "--images 0: give a number from 1",
    "tiny --out {tmp}/out --like {tmp}/nowhere": "nowhere",
    "tiny --out {tmp}/out --prompt ___": "--prompt: the prompt holds only de-identification marks",
    "tiny --out {tmp}/out --prompt clear --count 0": "--prompt: count is 0; give a whole number from 1",
    "tiny --out {tmp}/out --findings all --count 4": "--count is of --prompt",
    "tiny --out {tmp}/out --prompts {tmp}/good.txt --findings normal": "leave out --findings",
    "tiny --out {tmp}/out --prompts {tmp}/good.txt --per-finding 2": "leave out --findings",
    "tiny --out {tmp}/out --prompts {tmp}/nowhere.csv": "nowhere.csv: cannot read the prompts",
    "tiny --out {tmp}/out --prompts {tmp}": "is a folder|read from .csv",
    "tiny --out {tmp}/out --prompts {tmp}/empty.csv": "empty.csv: is empty",
    "tiny --out {tmp}/out --prompts {tmp}/header.csv": "header.csv: holds no prompts",
    "tiny --out {tmp}/out --prompts {tmp}/columns.csv": "columns.csv: line 1: has no column 'prompt'",
    "tiny --out {tmp}/out --prompts {tmp}/bytes.txt": "bytes.txt: line 2: byte 0xff",
    "tiny --out {tmp}/out --prompts {tmp}/climbs.csv": "climbs.csv: line 2: finding '../../x'",
    "tiny --out {tmp}/out --prompts {tmp}/slash.csv": "slash.csv: line 2: finding 'a/b'",
    "tiny --out {tmp}/out --prompts {tmp}/long.csv": "long.csv: line 2: finding 'xxx",
    "tiny --out {tmp}/out --prompts {tmp}/nul.jsonl": "nul.jsonl: line 1: finding holds the control character",
    "tiny --out {tmp}/out --prompts {tmp}/none.csv": "none.csv: line 2: count is '0'",
    "tiny --out {tmp}/out --prompts {tmp}/minus.csv": "minus.csv: line 2: count is '-4'",
    "tiny --out {tmp}/out --prompts {tmp}/absurd.csv": "absurd.csv: line 2: count is",
    "tiny --out {tmp}/out --prompts {tmp}/altogether.csv": "asks for 101,000,000 images",
    "tiny --out {tmp}/out --prompts {tmp}/seed.csv": "seed.csv: line 2: seed is '-1'",
    "tiny --out {tmp}/out --prompts {tmp}/prompts.docx": "not from .docx",
}


OUT = "--out {tmp}/out"
WRONG_INGEST = {
    "tiny": "--out|--source",
    f"tinny --source phantom:40 {OUT}": "did you mean tiny",
    f"tiny --source foldr:{{tmp}} {OUT}": "no kind is called 'foldr'; did you mean folder",
    f"tiny --source folder {OUT}": "names no place",
    f"tiny --source folder:{{tmp}}/nowhere {OUT}": "no such folder",
    f"tiny --source folder:{{tmp}}/empty {OUT}": "empty: ",
    f"tiny --source folder:{{tmp}}/half {OUT}": "half/pneumonia: is empty; put X-rays into it",
    f"tiny --source folder:{{tmp}}/one {OUT}": "one class only",
    f"tiny --source table:{{tmp}}/columns.csv {OUT}": "columns.csv: .*column 'file'",
    f"tiny --source table:{{tmp}}/outside.csv {OUT}": "outside.csv: .*outside",
    f"tiny --source table:{{tmp}}/twice.csv --label-columns finding {OUT}": "name the columns of findings, one each",
    f"tiny --source nih14:{{tmp}} {OUT}": "holds no Data_Entry_2017_v2020.csv or Data_Entry_2017.csv",
    f"tiny --source table:{{tmp}}/twice.csv --columns paper=sheet {OUT}": "'paper' is no column",
    f"tiny --source dicom:{{tmp}}/empty {OUT}": "empty: ",
    f"tiny --source npz:{{tmp}}/good.txt {OUT}": "good.txt: ",
    f"tiny --source idx:{{tmp}}/empty {OUT}": "empty: ",
    f"tiny --source openi:{{tmp}}/empty {OUT}": "empty: holds reports at most, no pictures",
    f"tiny --source hub:name {OUT}": "name",
    f"tiny --source phantom:many {OUT}": "give a number from 1",
    f"tiny --source phantom:40 --size 7 {OUT}": "--size '7'",
    f"tiny --source phantom:40 --folds 1 {OUT}": "--folds '1'",
    f"tiny --source phantom:40 --max-rejected 2 {OUT}": "--max-rejected '2",
    f"tiny --source phantom:40 --workers 0 {OUT}": "--workers 0",
    f"tiny --source phantom:40 --split official --seed x {OUT}": "--seed",
    f"tiny --source phantom:40 --train 0.9 {OUT}": "--train, --validation and --test must add up to 1",
    "tiny --source phantom:40 --out {tmp}/good.txt": "good.txt is a file, not a folder",
}
SET = "--data {tmp}/empty"
WRONG_FINETUNE = {
    "tiny": "--data|--out",
    f"tinny {SET} {OUT}": "did you mean tiny",
    f"tiny --data {{tmp}}/nowhere {OUT}": "nowhere",
    f"tiny --data {{tmp}}/good.txt {OUT}": "good.txt is a file, not a folder",
    f"tiny {SET} {OUT}": r"no record\.json, so unfinished or not a set of ours",
    f"tiny {SET} {OUT} --model sd14": "did you mean sd15|did you mean sd21",
    f"tiny {SET} {OUT} --method loro": "--method",
    f"tiny {SET} {OUT} --rank 0": "--rank '0'",
    f"tiny {SET} {OUT} --batch 0": "--batch '0'",
    f"tiny {SET} {OUT} --size 100": "--size '100'",
    f"tiny {SET} {OUT} --learning-rate 2": "--learning-rate '2",
    f"tiny {SET} {OUT} --folds 100": "--folds '100'",
    f"tiny {SET} {OUT} --ema 1": "--ema '1",
    f"tiny {SET} {OUT} --schedule linear": "--schedule",
    f"tiny {SET} {OUT} --class-images 0": "--class-images '0'",
    f"tiny {SET} {OUT} --select fid": "--select",
    f"tiny {SET} {OUT} --workers 0": "--workers 0",
    f"dev {SET} {OUT} --workers 9": "--workers 9: --batch 8 has a picture for as many at most",
}
BOTH = "--real {tmp}/empty --synthetic {tmp}/half"
WRONG_STUDY = {
    "tiny": "--real|--out",
    f"tinny {BOTH} {OUT}": "did you mean tiny",
    f"tiny --real {{tmp}}/nowhere {OUT}": "nowhere",
    f"tiny {BOTH} {OUT}": r"no record\.json, so unfinished or not a set of ours",
    f"tiny {BOTH} {OUT} --arms {{tmp}}/nowhere.toml": "nowhere.toml: cannot be read",
    f"tiny {BOTH} {OUT} --arms {{tmp}}/arms.toml": "arms.toml: shynthetic: Extra inputs are not permitted",
    f"tiny {BOTH} {OUT} --seeds 1,two": "--seeds '1,two'",
    f"tiny {BOTH} {OUT} --seeds 1,1": "stands twice",
    f"tiny {BOTH} {OUT} --seeds=-1": "^study.py: seed -1: give whole numbers from 0",
    f"tiny {BOTH} {OUT} --precision fp8": r"'--precision'. Expected one of .*fp32",
    f"tiny {BOTH} {OUT} --network vgg": "--network",
    f"tiny {BOTH} {OUT} --epochs 0": "--epochs '0'",
    f"tiny {BOTH} {OUT} --size 128": "more than the 64 px",
    f"tiny {BOTH} {OUT} --training-budget hours": "--training-budget",
    f"tiny {BOTH} {OUT} --trials-per-gpu 0": "--trials-per-gpu 0",
    f"tiny {BOTH} --out {{tmp}}/good.txt": "good.txt is a file, not a folder",
}
WRONG_EVALUATE = {
    "tiny": "--real|--out",
    f"tiny {BOTH} {OUT} --min-samples 10": "half of --min-samples must be more than --neighbours 5",
    f"tiny {BOTH} {OUT} --neighbours 10": "half of --min-samples must be more than --neighbours 10",
    f"tiny {BOTH} {OUT} --infinite maybe": "--infinite: give True or False, not 'maybe'",
}
WRONG_NIGHTLY = {
    f"tiny {OUT} --date yesterday": "--date 'yesterday': not a day",
    f"tiny {OUT} --date 2026-11-21 --generate tinny": "--generate 'tinny': no recipe is called 'tinny'",
    f"tiny {OUT} --date 2026-11-21 --max-copy-rate 2": "--max-copy-rate '2",
}
# Short and plain: no more of the options' help than the reader needs.
WRONG_WORDS = [
    ("study.py", "tiny --foo 1", r"^study\.py: missing: --real, --out; unknown: --foo 1 \(--help"),
    ("reader.py", "tiny --real a", r"^reader\.py: unknown: tiny --real a; begin with one of: prepare, score \(--help"),
    ("publish.py", "", r"^publish\.py: missing: what to publish, --to \(--help"),
    ("generate.py", f"tiny {OUT} --step 3", r"^generate\.py: unknown: --step, 3; did you mean --steps\? \(--help"),
    ("study.py", f"tiny --real a {OUT} --epochs x", r"^study\.py: --epochs 'x': give a whole number \(--help"),
    ("study.py", f"tiny --real a {OUT} --learning-rate x", r"^study\.py: --learning-rate 'x': give a number \(--help"),
]
CASES = (
    WRONG_WORDS
    + [("generate.py", typed, told) for typed, told in WRONG.items()]
    + [
        (job, typed, told)
        for job, wrong in (
            ("ingest.py", WRONG_INGEST),
            ("finetune.py", WRONG_FINETUNE),
            ("study.py", WRONG_STUDY),
            ("evaluate.py", WRONG_EVALUATE),
            ("nightly.py", WRONG_NIGHTLY),
        )
        for typed, told in wrong.items()
    ]
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with every prompt file in it, and folders and tables of pictures."""
    for name, content in PROMPT_FILES.items():
        (tmp_path / name).write_bytes(content)
    for name in ("empty", "half/normal", "half/pneumonia", "one/normal"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("half/normal/a.png", "one/normal/a.png"):
        (tmp_path / name).write_bytes(b"\x89PNG")
    (tmp_path / "outside.csv").write_text("file,finding\n../secret.png,normal\n")
    (tmp_path / "arms.toml").write_text('[[arm]]\nname = "a"\nshynthetic = 10\n')
    (tmp_path / "twice.csv").write_text("file,finding\none/normal/a.png,normal\none/normal/a.png,pneumonia\n")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def run(job: str, arguments: list[str]) -> tuple[subprocess.CompletedProcess, float]:
    """The job's result, run by its own script, and the CPU seconds of its process and theirs that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, str(JOBS / job), *arguments], capture_output=True, text=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_here(monkeypatch: pytest.MonkeyPatch, job: str, arguments: list[str]) -> int:
    """The exit code of the job, run in this process as its script runs it."""
    module = importlib.import_module(f"cxr.jobs.{Path(job).stem}")
    monkeypatch.setattr(sys, "argv", [str(JOBS / job), *arguments])
    monkeypatch.setattr(cli, "leave", sys.exit)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with pytest.raises(SystemExit) as stop:
            cli.run(module.Args, module.main)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    return stop.value.code


@pytest.mark.parametrize(("job", "typed", "told"), CASES)
def test_bad_input_is_one_clear_line(
    place: Path, job: str, typed: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = contents(place)
    code = run_here(monkeypatch, job, [word.format(tmp=place) for word in typed.split()])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    check_line(said.err, job, told)
    assert contents(place) == before


def check_line(said: str, job: str, told: str) -> None:
    lines = [line for line in said.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, said
    assert lines[0].startswith(f"{job}: ")
    assert re.search(told, lines[0])


SLOWEST = [
    ("generate.py", "tiny --out {tmp}/out --prompts {tmp}/altogether.csv", "asks for 101,000,000 images"),
    ("evaluate.py", f"tiny {BOTH} {OUT}", r"no record\.json"),
    ("nightly.py", f"tiny {OUT} --date 2026-11-21 --generate tinny", "no recipe is called"),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("ingest.py", "tiny --source dicom:{tmp}/empty --out {tmp}/out", "empty: "),
            ("finetune.py", f"tiny {SET} {OUT}", r"no record\.json"),
            ("study.py", f"tiny {BOTH} {OUT}", r"no record\.json"),
        )
    ),
]


@pytest.mark.parametrize(("job", "typed", "told"), SLOWEST)
def test_bad_input_is_told_before_anything_heavy_is_loaded(place: Path, job: str, typed: str, told: str) -> None:
    done, cpu_seconds = run(job, [word.format(tmp=place) for word in typed.split()])
    assert (done.returncode, done.stdout) == (2, "")
    check_line(done.stderr, job, told)
    assert cpu_seconds < CPU_SECONDS


@pytest.mark.parametrize(
    "words",
    ["jobs/generate.py --help", pytest.param("-m cxr --help", marks=pytest.mark.slow), "-m cxr study tiny --help"],
)
def test_help_answers_at_once_and_loads_nothing_heavy(words: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and done.stdout.startswith("usage: ")
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "diffusers", "transformers", "ray"}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < CPU_SECONDS


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_is_not_writable_is_refused(place: Path) -> None:
    place.chmod(0o555)
    done, _ = run("generate.py", ["tiny", "--out", str(place / "out")])
    assert done.returncode == 2
    assert "is not writable for this user" in done.stderr


@pytest.fixture(scope="module")
def job() -> ModuleType:
    """jobs/generate.py as a module: what needs a model is asked in this process, which has loaded torch once."""
    return importlib.import_module("cxr.jobs.generate")


def refusal(job: ModuleType, **options: object) -> str:
    with pytest.raises(BadInput) as caught:
        job.main(parse_options(job, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pictures_of_a_prompt_have_a_place_of_their_own(job: ModuleType) -> None:
    """So that another prompt is not refused as another recipe's, and the same one again finds what is there."""
    asked = [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a", "count": 2}, {"prompt": "a", "seed": 1}]
    all_args = [parse_options(job, **options) for options in [*asked, {"prompt": "a", "show": True}]]
    *places, again = (job.output_place(args, job.build_config(args)) for args in all_args)
    assert len(set(places)) == 4 and again == places[0] and all(place.startswith("out/one/") for place in places)
    given = parse_options(job, prompt="a", out="here")
    assert job.output_place(given, job.build_config(given)) == "here"


def test_one_picture_asked_for_twice_is_refused(job: ModuleType, random_model: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "twins.csv"
    prompts.write_text("prompt,seed\nclear lungs,4\nclear lungs,4\n")
    said = refusal(job, out=tmp_path / "out", prompts=prompts, model=random_model, size=64)
    assert "2 times for one picture: seed 4 with prompt 'clear lungs'" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_in_it_is_refused(job: ModuleType, random_model: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    said = refusal(job, out=tmp_path, findings="normal", per_finding=1, model=random_model, size=64)
    assert "not empty and not one of ours" in said
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
