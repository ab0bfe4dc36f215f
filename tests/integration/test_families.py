"""Every family beside the first through every job: fine-tune, generate, evaluate, audit, study, on a tiny pipeline."""

import hashlib
import json
import signal
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from cxr.weights import resolve
from tests.single_files import save_single_file
from tests.tiny_families import FAMILIES, save_family

pytestmark = pytest.mark.slow
TWO = "normal,pneumonia"
STUDY = (
    "--allow-unchecked-copies", "--allow-seen-patients", "--only", "synth_50",
    "--size", 32, "--resize", 32, "--epochs", 1, "--batch", 8, "--seeds", "1,2",
)  # fmt: skip


@pytest.fixture(scope="module")
def xrays(jobs, shared_ray, once) -> Path:
    """160 phantoms of two findings, 64 px, split by patient."""
    words = ("ingest.py", "tiny", "--source", f"phantom:160,5,{TWO.replace(',', '+')}", "--size", 64)
    return once("two findings", lambda place: jobs.call(*words, "--out", place))


@pytest.fixture(params=FAMILIES, scope="module")
def model(request: pytest.FixtureRequest, once) -> Path:
    return once(request.param, lambda folder: save_family(request.param, folder))


def finetune_words(xrays: Path, model: str | Path, out: Path, *more: str | int) -> tuple[str | Path | int, ...]:
    return (
        "finetune.py", "tiny", "--data", xrays, "--out", out, "--model", model, "--size", 64, "--batch", 4,
        "--train-text-encoder", False, "--max-train-steps", 4, "--validate-every", 2, "--sampling-steps", 2,
        "--validation-images", 4, "--test-images", 4, "--captions", "instance", *more,
    )  # fmt: skip


def generate_words(
    model: str | Path, lora: Path, out: Path, *, workers: int = 1, count: int = 30
) -> tuple[str | Path | int, ...]:
    return (
        "generate.py", "tiny", "--model", model, "--lora", lora, "--out", out, "--findings", TWO, "--size", 64,
        "--per-finding", count, "--steps", 2, "--batch", 4, "--workers", workers,
    )  # fmt: skip


def test_every_job_takes_the_family(jobs, shared_ray, xrays: Path, model: Path, tmp_path: Path, contents) -> None:
    lora, fakes, again = (tmp_path / name for name in ("lora", "fakes", "again"))
    prior = ("--prior-weight", 0.5, "--class-images", 4, "--workers", 2)
    assert jobs.call(*finetune_words(xrays, model, lora, *prior)).returncode == 0
    metrics = json.loads((lora / "record.json").read_text())["metrics"]
    assert set(metrics["validation"]) == {"mse", "ssim", "psnr", "kid"}
    assert jobs.call(*generate_words(model, lora, fakes, workers=1)).returncode == 0
    assert jobs.call(*generate_words(model, lora, again, workers=2)).returncode == 0
    assert contents(fakes) == contents(again)  # the same bytes for any number of workers
    sets = ("--real", xrays, "--synthetic", fakes)
    words = ("evaluate.py", "tiny", *sets, "--size", 32, "--min-samples", 12, "--resamples", 10)
    assert jobs.call(*words, "--out", tmp_path / "quality").returncode == 0
    quick = ("--permutations", 200, "--resamples", 200, "--planted", 5, "--size", 64)
    words = ("audit.py", "tiny", *sets, "--model", lora, "--base", model, *quick)
    assert jobs.call(*words, "--out", tmp_path / "audit").returncode == 0
    tests = json.loads((tmp_path / "audit" / "record.json").read_text())["metrics"]["tests"]
    assert tests
    assert jobs.call("study.py", "tiny", *sets, *STUDY, "--out", tmp_path / "study").returncode == 0
    assert (tmp_path / "study" / "index.html").exists()


def test_a_whole_model_is_trained_and_a_killed_driver_goes_on(
    jobs, shared_ray, xrays, model, tmp_path: Path, contents
) -> None:
    place, undisturbed = tmp_path / "killed", tmp_path / "whole"
    words = finetune_words(xrays, model, place, "--method", "dreambooth", "--workers", 1)
    job = jobs.start_job(*words)
    while not (place / "checkpoints" / "final.json").exists():
        assert job.poll() is None, job.communicate()
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert jobs.call(*words).returncode == 0
    assert jobs.call(*[undisturbed if word == place else word for word in words]).returncode == 0
    ours, theirs = contents(place), contents(undisturbed)
    assert curve(ours["history.jsonl"]) == curve(theirs["history.jsonl"])
    weights = [name for name in ours if name.endswith(".safetensors")]
    assert weights and not [name for name in weights if ours[name] != theirs[name]]


def curve(history: bytes) -> list[dict[str, float]]:
    return [{**json.loads(line), "seconds": 0} for line in history.decode().splitlines()]


def test_a_whole_model_in_one_file_is_trained_and_sampled(
    jobs, shared_ray, xrays, random_model, tmp_path: Path
) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(random_model, local_files_only=True, dtype=torch.float16)
    file = save_single_file(pipe, tmp_path / "one.safetensors")
    spec, lora, fakes = f"{random_model}={file}", tmp_path / "lora", tmp_path / "fakes"
    assert jobs.call(*finetune_words(xrays, spec, lora)).returncode == 0
    assert jobs.call(*generate_words(spec, lora, fakes, count=4)).returncode == 0
    named = {"model": resolve(spec).digest, "model_file": hashlib.sha256(file.read_bytes()).hexdigest()}
    for place in (lora, fakes):
        assert json.loads((place / "record.json").read_text())["inputs"].items() >= named.items()
        assert named["model_file"] in (place / "README.md").read_text()
