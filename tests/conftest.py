"""What tests of whole jobs share: a model that samples within milliseconds, and jobs run as users run them."""

import functools
import gc
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path

import botocore.session
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from cxr import cli
from cxr.artifact import verify
from cxr.report import plots
from cxr.store import open_store
from tests.stored import stored_set  # noqa: F401 - a fixture

JOBS = Path(__file__).parents[1] / "jobs"
FINDINGS = ("Normal_Anatomy", "Medical_Devices")
settings.register_profile("any machine", deadline=None)  # an example that takes long beside other work is no failure
settings.load_profile("any machine")


def pytest_collection() -> None:
    """No garbage is looked for while everything is imported; what is imported then stays, and is not looked through."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """No slow test begins after SLOW_UNTIL, in seconds since 1970: `.ci/run` has to end on a slow machine too."""
    if "slow" in item.keywords and time.time() > float(os.environ.get("SLOW_UNTIL", "inf")):
        pytest.skip("no time is left: SLOW_UNTIL is over")


@pytest.fixture(scope="session", autouse=True)
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Patients are named under a key of the tests', the same for all processes of pytest; nothing is kept at home."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_LINEAGE_KEY", "a key that only tests have")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)  # the tests' artifacts are nobody's runs
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(root / name))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_loader() -> Iterator[None]:
    """botocore reads its description of S3, 1 MB of JSON, once a process in place of once a client."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """No test outlives a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def coarse_plots() -> Iterator[None]:
    """Plots for print at a third of their resolution: drawing them takes nine times less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "DPI", 100)
        yield


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, make)`: the place that `make(place)` fills, once for all processes of pytest. For reading only."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def shared(name: str, make: Callable[[Path], object]) -> Path:
        place, done = root / name / "set", root / name / "done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                make(place)
                done.touch()
        return place

    return shared


@pytest.fixture(scope="session")
def random_model(once: Once) -> Path:
    """A diffusers folder in the embedded model's layout, for 64 px; its weights are the same in every session."""
    return once("model", save_random_model)


def save_random_model(folder: Path) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    from cxr.pretrain.config import DenoiserConfig, TextConfig, VaeConfig
    from cxr.pretrain.denoiser import make_scheduler, make_unet
    from cxr.pretrain.text import make_text_encoder, sample_captions, train_tokenizer
    from cxr.pretrain.vae import make_vae

    text, vae = TextConfig(vocabulary=1200, width=16, layers=1, heads=2), VaeConfig(channels=(8, 8, 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = train_tokenizer(text, sample_captions(300, 0.0, np.random.default_rng(0))[0])
        pipe = StableDiffusionPipeline(
            vae=make_vae(vae, 64),
            text_encoder=make_text_encoder(text, tokenizer),
            tokenizer=tokenizer,
            unet=make_unet(DenoiserConfig(channels=(8, 8, 16, 16), heads=2), vae.latent_channels, 16, text.width),
            scheduler=make_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.to(torch.float16).save_pretrained(folder, safe_serialization=True)


@dataclass(frozen=True)
class Jobs:
    """Runs jobs in processes of their own. Only the AWS settings given in `env` reach them."""

    model: Path
    ray: Path  # where Ray keeps its sessions; short, because sockets lie below it
    started: list[subprocess.Popen] = field(default_factory=list)

    def generate(self, out: str | Path, *words: str | int, **options) -> subprocess.CompletedProcess[str]:
        """Generates with the random model at 64 px; `words` are further options."""
        return self.run(*self.words(out, *words), **options)

    def verify(self, uri: str | Path) -> subprocess.CompletedProcess[str]:
        return self.call("verify.py", uri)

    def start(self, out: str | Path, *words: str | int, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """The generate job in the background, in a process group of its own, as a shell starts it."""
        return self.start_job(*self.words(out, *words), env=env)

    def start_job(self, *words: str | Path | int, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        command = self.command(*words)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.started.append(subprocess.Popen(command, env=self.env(env), start_new_session=True, **pipes))
        return self.started[-1]

    def end_started(self) -> None:
        """Kills what a failed test has left at work."""
        while self.started:
            self.started.pop().kill()

    def run(
        self, *words: str | Path | int, env: dict[str, str] | None = None, seconds: float = 550, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command, options = self.command(*words), {"capture_output": True, "text": True, "timeout": seconds}
        return subprocess.run(command, env=self.env(env), cwd=cwd, **options)

    def call(self, job: str, *words: str | Path | int) -> subprocess.CompletedProcess[str]:
        """The job in this process, which has its imports; for what `run` tests elsewhere. Raises what `main` raises."""
        module, out, err = importlib.import_module(f"cxr.jobs.{Path(job).stem}"), io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = module.main(cli.parse(module.Args, [*map(str, words)]))
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def words(self, out: str | Path, *words: str | int) -> tuple[str | Path | int, ...]:
        one = () if "--workers" in words else ("--workers", 1)  # a second would only load the libraries once more
        return "generate.py", "tiny", "--out", out, "--model", self.model, "--size", 64, *one, *words

    def command(self, job: str, *words: str | Path | int) -> list[str]:
        return [sys.executable, str(JOBS / job), *map(str, words)]

    def env(self, given: dict[str, str] | None) -> dict[str, str]:
        """Ray's workers are niced by default: beside anything else on the machine they starve."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
        return {**inherited, "RAY_worker_niceness": "0", "RAY_TMPDIR": str(self.ray), **(given or {})}

    def sessions(self) -> set[str]:
        """Names of all Ray sessions that jobs have started so far."""
        return {path.name for path in self.ray.rglob("session_2*") if not path.is_symlink()}


@pytest.fixture(scope="session")
def jobs(random_model: Path) -> Iterator[Jobs]:
    ray = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield Jobs(random_model, ray)
    shutil.rmtree(ray, ignore_errors=True)


@pytest.fixture(scope="session")
def contents():
    """`contents(uri)`: every object but record.json, whose timings differ: {key: bytes}."""

    def read(uri: str | Path) -> dict[str, bytes]:
        store = open_store(str(uri))
        return {key: store.get(key) for key, _ in store.list() if key != "record.json"}

    return read


@pytest.fixture(scope="session")
def small() -> tuple[str | int, ...]:
    """Options of a small set: 26 images of two findings in 7 units, the last one short."""
    return "--findings", ",".join(FINDINGS), "--per-finding", 13, "--steps", 2, "--batch", 4


@pytest.fixture(scope="session")
def small_set(jobs: Jobs, small: tuple[str | int, ...], once: Once) -> Path:
    """The small set as one undisturbed worker makes it. For reading only. Beside it lies `first_seen.json`, what a
    reader found at the first sight of its record."""

    def make(place: Path) -> None:
        job = jobs.start(place, *small, "--workers", 1)
        while not (place / "record.json").exists() and job.poll() is None:
            time.sleep(0.005)
        assert (place / "record.json").exists(), job.communicate()
        seen = verify(open_store(str(place)))
        (place.parent / "first_seen.json").write_text(json.dumps(asdict(seen)))
        out, err = job.communicate()
        assert job.returncode == 0, err
        assert out.startswith("26 images, ") and f"look at {place}/contact_sheet.png" in out

    return once("small", make)


@pytest.fixture(scope="module")
def unrendered() -> Iterator[None]:
    """Plots are laid out as ever and saved as white pictures of their size: rendering is most of their time."""
    from matplotlib.figure import Figure

    def save_blank(figure: Figure, file: object, *, format: str, dpi: float | str) -> None:
        scale = figure.dpi if dpi == "figure" else dpi
        Image.new("L", tuple(round(inches * scale) for inches in figure.get_size_inches()), 255).save(
            file, format, compress_level=1
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_blank)
        yield


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Hugging Face's library, without network, with its cache in the test's folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    module = pytest.importorskip("datasets")
    monkeypatch.setattr(module.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(module.config, "HF_HUB_OFFLINE", True)
    module.disable_progress_bars()
    return module
