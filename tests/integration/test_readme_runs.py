"""Every command that README and docs show runs: in the order of README's links, in one folder, as a shell reads it.

The way over has a folder of its own, because its first commands make real sets with a download.

What is appended only makes it smaller, by the place that the command writes to; a command that no table here names runs
as it is shown.
"""

import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.embedded.phantoms import draw_phantom
from cxr.prompts.findings import BINARY
from tests.integration.test_readme import PAGES, ROOT
from tests.integration.test_submit import running_head

SHOWN = re.compile(
    r"^```sh\n(.*?)^```|(?<!`)`((?:\.\.\. |(?:\.venv/bin/|jobs/)[^\s`]+ |(?:make|pip|pytest|python|ray) )[^`\n]+)`",
    re.DOTALL | re.MULTILINE,
)
DOTS = ".venv/bin/python jobs/generate.py tiny --out out/never --dry-run --size 64 --steps 1"  # what `...` stands for

GENERATE = "--size 64 --steps 1 --workers 1"  # a second worker only loads the libraries once more
FINETUNE = "--size 64 --batch 4 --max-train-steps 2 --validate-every 2"
EVALUATE = "--size 64 --min-samples 12 --resamples 10 --workers 1"
STUDY = "--seeds 1 --epochs 1 --allow-unfaithful-labels"  # of pictures made in one step
GAN = "--width 4 --epochs 1 --batch-size 32 --lenet-epochs 1 --lenet-batch-size 32 --count 20"
SMALLER = {
    "out/mine": GENERATE,
    "out/xrays": "--size 64",
    "out/phantoms": "--source phantom:60,5 --size 64",
    "out/lora": FINETUNE,
    "out/tuned": f"--per-finding 1 {GENERATE} --lora $PWD/out/lora",  # the shared Ray works in another folder
    "out/worded": FINETUNE,
    "out/fast": f"{FINETUNE} --noises 16",
    "out/fast-set": "--per-finding 1 --size 64 --model $PWD/out/fast",
    "out/like": f"--images 12 {GENERATE} --lora $PWD/out/lora",
    "out/canaries": f"{FINETUNE} --canaries 20",
    "out/private": FINETUNE,
    "out/of-canaries": f"--per-finding 6 {GENERATE} --lora $PWD/out/canaries",
    "out/real": "--source phantom:180,7,normal+pneumonia --size 64",
    "out/synthetic": f"--per-finding 66 {GENERATE}",
    "out/quality": EVALUATE,
    "out/readers": "--cases 20",
    "out/study": f"{STUDY} --size 32 --resize 32",
    "out/planned": f"{STUDY} --seeds 1,2 --size 32 --resize 32",
    "out/pm-resnet18": STUDY,
    "out/pm-gan": f"{GAN} --count 300",
    "out/pm-quality": f"{EVALUATE} --size 32",
    "out/pm-study": STUDY,
    "out/nih-cnn": f"{STUDY} --size 32 --resize 32",
    "out/nih-usual": f"{FINETUNE} --canaries 20",
    "out/nih-500": f"--per-finding 66 {GENERATE} --model $PWD/out/nih-usual",
    "out/nih-study": f"{STUDY} --size 32 --resize 32",
    "out/pm-worth": STUDY,
    "out/nih-lora": FINETUNE,
    "out/nih-own": f"--per-finding 66 {GENERATE} --lora $PWD/out/nih-lora",
    "out/nih-quality": EVALUATE,
    "out/laptop": f"--per-finding 1 {GENERATE}",
    "out/ten": f"--per-finding 12 {GENERATE}",
    "out/ten-classifier": STUDY,
    "out/gan": GAN,
    "out/mnist": GAN,
    "out/digits": GAN,
    "out/small": GAN,
}

FETCHED = "of what it begins with, each needs the internet, and better a GPU: Stable Diffusion, a set of the hub"
HEAD = "a head of its own would stay; test_submit.py starts and ends one"
FILTERS = "a quota of bad pictures takes minutes; test_generate.py fills one, tests/unit/study compares filters"
NOT_HERE = {
    ".venv/bin/python jobs/ingest.py tiny --source phantom:540,7,Normal_Anatomy+Structural_Lesions --train 0.3 "
    "--validation 0.1 --test 0.6 --out out/few": FILTERS,
    ".venv/bin/python jobs/generate.py tiny --findings Normal_Anatomy,Structural_Lesions --steps 8 --guidance 1 "
    "--accept label --quota 85 --tries 4 --real out/few --out out/chosen": FILTERS,
    ".venv/bin/python jobs/study.py filters --network cnn --pretrained False --resize 64 --size 64 --epochs 25 "
    "--batch 32 --learning-rate 2e-3 --real out/few --synthetic out/chosen --allow-unchecked-copies True "
    "--out out/filters": FILTERS,
    "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(openssl rand -hex 16)": HEAD,
    "ray start --metrics-export-port 8080": HEAD,
    "PATH=$PWD/.venv/bin:$PATH ray start --head --disable-usage-stats --metrics-export-port 8080": HEAD,
    "RAY_ADDRESS=http://127.0.0.1:8265 .venv/bin/python jobs/submit.py generate tiny --out $PWD/out/submitted": HEAD,
    ".venv/bin/python jobs/compare.py out/study out/study-2 --out out/compared": "test_compare.py compares studies",
    ".venv/bin/python jobs/reader.py score out/readers reader-1.json reader-2.json reader-3.json "
    "--out out/readers-score": "needs the answers of three people; tests/unit/reader simulates some",
    "make venv": "what this runs in",
    "make demo": ".ci/run runs it",
    "make test": ".ci/run runs it",
    "make bench": "takes hours",
    "make gpu": "needs a GPU; test_gpu_benchmark.py does it at a tiny size",
    "make image-test": "needs root and Docker",
    "make s3": "runs tests/ceph.sh, and so do the tests of S3",
    "pytest -m slow -s tests/integration/test_under_fire.py": ".ci/run runs it",
    "pytest -m slow tests/unit/study/test_coverage.py": ".ci/run runs it",
    "pytest -m slow -s tests/integration/test_browse.py": ".ci/run runs it",
    "python jobs/pretrain.py tiny --out FOLDER": "takes 1.5 hours; tests/unit/pretrain runs its parts",
    "python jobs/pretrain.py extractor --out FOLDER": "takes minutes; tests/unit/pretrain runs its parts",
    "python jobs/pretrain.py tiny --out FOLDER --start BEFORE": "takes an hour; tests/unit/pretrain runs its parts",
    'NIH=FOLDER MAKE="--steps 20 --workers 1" runs/audit_nih.sh': "needs the NIH pictures; test_runs.py reads it",
    "python benchmarks/combinations.py": "takes a quarter of an hour",
    "python benchmarks/worth.py": "takes a quarter of an hour",
    "python benchmarks/worth.py --studies 2 --synthetic SET": "takes a quarter of an hour",
    "python benchmarks/fast_sampling.py": "takes an hour and a half",
    "python benchmarks/fast_sampling.py --work FOLDER": "takes an hour and a half",
    ".venv/bin/pytest -s -m slow tests/integration/methods/test_external.py": ".ci/run runs it",
    "python benchmarks/model_memory.py": "computes for half a minute, of no machine",
    ".venv/bin/pytest -s -m slow tests/real/test_audit.py": "needs the NIH pictures, and takes minutes",
    "python benchmarks/copies_diffused.py --count 24": "needs the NIH pictures, and takes minutes",
    ".venv/bin/pytest -s -m slow tests/unit/audit/test_attack.py": ".ci/run runs it",
    "pytest -m slow tests/integration/test_nothing_lost.py -k filtered": ".ci/run runs it",
    "... --like SET --images 2000": "names no set; out/like is made so",
    "... --like SET --balance findings": "names no set; out/like is made so",
    'pip install "cxr[dicom]"': "needs a registry that has cxr",
    'pip install "cxr[mlflow]"': "needs a registry that has cxr",
    ".venv/bin/python jobs/ingest.py tiny --source table:manifest.csv --out out/nih": "out/nih is there",
    "jobs/generate.py sd15 --out ...": FETCHED,
    ".venv/bin/python jobs/nightly.py tiny --out out/nights --date 2026-11-21": "test_nightly.py runs whole nights",
    ".venv/bin/python jobs/browse.py out/nights --out out/nights-page": "tests/unit/browse has nights",
    ".venv/bin/python jobs/publish.py out/synthetic --to out/published --audit out/audit --evaluation out/quality "
    "--licence cc-by-4.0": "sets of this size have too few patients to audit; tests/unit/publish has audits",
    "... --model FOLDER --lora FILE": "names no model; out/tuned is made with a LoRA",
    "... --out s3://bucket/prefix": "test_generate_s3.py runs it",
    ".venv/bin/python jobs/generate.py tiny --lora out/lora --findings normal,pneumonia --accept label,realism,copies "
    "--quota 100 --real out/real --out out/accepted": "out/real comes later; test_generate.py fills a quota",
    ".venv/bin/python jobs/study.py tiny --real out/real --synthetic out/clean --evaluation out/quality --external "
    "clinic=out/clinic --external-findings clinic:pneumonia=Consolidation,normal=No_Finding --out out/elsewhere": (
        "no second hospital is here; tests/integration/methods/test_external.py has one"
    ),
    ".venv/bin/ray job submit --working-dir . -- python jobs/generate.py sd15 --out s3://bucket/prefix": FETCHED,
    ".venv/bin/python jobs/submit.py generate sd15 --out s3://bucket/prefix": f"{FETCHED}; test_submit.py submits",
    "python jobs/ingest.py sd15 --source hub:hf-vision/chest-xray-pneumonia --out out/real": FETCHED,
    "python jobs/ingest.py sd15 --source openi:FOLDER --out out/openi": "test_openi.py reads such folders",
    "python jobs/nightly.py sd15 --out s3://bucket/nights --date 2026-11-21": f"{FETCHED}; test_nightly.py has nights",
}  # fmt: skip
WAY_OVER = "docs/the-way-over.md"
FROM_FETCHED = re.compile(r"out/(real|synthetic|pneumonia|lora|product|ten15)\b")  # on the way over


def shown(page: str) -> list[str]:
    """Commands of a page in its order, without their comments."""
    found = [line for block, word in SHOWN.findall((ROOT / page).read_text()) for line in [*block.splitlines(), word]]
    return list(dict.fromkeys(re.sub(r"\s+#.*", "", line) for line in found if line))


def place_of(line: str) -> str:
    found = re.search(r"--out (\S+)", line)
    return found[1] if found else ""


def why_not(page: str, line: str) -> str:
    """Why it cannot run here; empty if it can."""
    if page == WAY_OVER and FROM_FETCHED.search(line):
        return FETCHED
    return NOT_HERE.get(line, "")


def test_what_the_tables_name_is_shown() -> None:
    lines = [(page, line) for page in PAGES for line in shown(page)]
    assert set(NOT_HERE) <= {line for _, line in lines}
    assert set(SMALLER) <= {place_of(line) for page, line in lines if not why_not(page, line)}


@pytest.fixture(scope="module")
def walk(jobs, tmp_path_factory) -> Iterator[Callable[[str, str], subprocess.CompletedProcess[str]]]:
    """`walk(page, line)` runs a line in the page's folder. One Ray serves all, which saves each job its start."""
    shared, own = tmp_path_factory.mktemp("pages"), tmp_path_factory.mktemp("way-over")
    folders = {page: own if page == WAY_OVER else shared for page in PAGES}
    for folder in (shared, own):
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "jobs").symlink_to(ROOT / "jobs")
        write_inputs(folder)
    with running_head(3) as head:
        env = jobs.env({"RAY_ADDRESS": head.driver, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": head.token})

        def run(page: str, line: str) -> subprocess.CompletedProcess[str]:
            found = env | {"PATH": f"{folders[page]}/.venv/bin:{env['PATH']}"}
            options = {"capture_output": True, "text": True, "timeout": 550}
            return subprocess.run(["bash", "-c", line], cwd=folders[page], env=found, **options)

        yield run


def write_inputs(folder: Path) -> None:
    """What the pages take for granted: X-rays in folders, MedMNIST's and MNIST's files, an ingested set."""
    drawn = [draw_phantom(1, number, BINARY, 64) for number in range(160)]
    for number, one in enumerate(drawn):
        place = folder / "my-xrays" / one.attributes.findings[0]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one.pixels).save(place / f"{number}.png")
    pixels = np.stack([one.pixels[4:60:2, 4:60:2] for one in drawn])
    labels = np.array([BINARY.index(one.attributes.findings[0]) for one in drawn], np.uint8)
    parts = {"train": slice(0, 112), "val": slice(112, 130), "test": slice(130, None)}
    arrays = {f"{part}_images": pixels[rows] for part, rows in parts.items()}
    labelled = {f"{part}_labels": labels[rows, None] for part, rows in parts.items()}
    np.savez(folder / "pneumoniamnist.npz", **arrays, **labelled)
    (folder / "FOLDER").mkdir()
    for name, rows in {"train": slice(0, 130), "t10k": slice(130, None)}.items():
        pictures = struct.pack(">4I", 0x803, *pixels[rows].shape) + pixels[rows].tobytes()
        (folder / "FOLDER" / f"{name}-images-idx3-ubyte").write_bytes(pictures)
        named = struct.pack(">2I", 0x801, *labels[rows].shape) + labels[rows].tobytes()
        (folder / "FOLDER" / f"{name}-labels-idx1-ubyte").write_bytes(named)
    (folder / "out").mkdir()
    (folder / "out" / "nih").symlink_to("real")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in shown(page)])
def test_a_shown_command_runs(walk, page: str, line: str) -> None:
    if why := why_not(page, line):
        pytest.skip(why)
    whole = f"{DOTS}{line[3:]}" if line.startswith("...") else line
    done = walk(page, f"{whole} {SMALLER.get(place_of(line), '')}")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_commands_of_the_audit_guide_in_their_order_attack_a_model_and_its_canaries(walk) -> None:
    read = "import json; print(json.dumps(json.load(open('out/audit-model/audit.json'))['tests']))"
    tests = json.loads(walk("docs/guides/audit.md", f'python -c "{read}"').stdout)
    made = {test["name"].partition(",")[0].partition(":")[0] for test in tests if test["result"]}
    assert made >= {"nearest patient", "membership inference on the model", "canaries", "extraction of canaries"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "name"),
    [
        (page, name)
        for page in PAGES
        if page != WAY_OVER
        for name in re.findall(r"`(out/\S+\.html)`", (ROOT / page).read_text())
    ],
)
def test_a_page_that_is_to_be_opened_is_there(walk, page: str, name: str) -> None:
    assert walk(page, f"test -s {name}").returncode == 0
