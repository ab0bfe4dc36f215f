"""What cannot be pretrained is told before anything is drawn."""

import importlib
from pathlib import Path

import pytest

from cxr import cli
from cxr.diffusion.config import SamplerConfig
from cxr.errors import BadInput
from cxr.pretrain.config import DenoiserConfig, PretrainConfig, TextConfig, VaeConfig
from cxr.pretrain.forecast import forecast
from tests.words import parse_options


def test_shares_of_the_same_phantoms_are_1_together_at_most(tmp_path: Path, monkeypatch):
    job, out = importlib.import_module("cxr.jobs.pretrain"), tmp_path / "out"
    monkeypatch.setattr(job, "make_model", lambda *args: 0)
    assert job.main(parse_options(job, out=out, several=0.7, independent=0.3)) == 0
    with pytest.raises(
        BadInput, match=r"^--several 0.7 and --independent 0.4: are shares .* more than 1 together; lower"
    ):
        job.main(parse_options(job, out=out, several=0.7, independent=0.4))
    assert not out.exists()


SMALL = PretrainConfig(
    size=64, phantoms=1000, vae=VaeConfig(channels=(8, 8, 8), steps=30), text=TextConfig(width=32, layers=1, steps=20),
    denoiser=DenoiserConfig(channels=(8, 8, 16, 16), batch=2, steps=50),
)  # fmt: skip


def test_a_dry_run_of_the_model_times_every_stage() -> None:
    made = forecast(SMALL, SamplerConfig(size=64, steps=2, batch=2), 900).text("there")
    assert "reads: nothing; it draws 1,000 phantoms of 64 px" in made
    assert "an autoencoder (30 steps of 2 pictures), a text encoder (20 steps of 64 captions), a UNet (50 of 2)" in made
    assert "\ntime: about" in made and "as 4 steps of each stage took" in made


def test_a_dry_run_of_the_extractor_leaves_nothing(tmp_path: Path, capsys) -> None:
    job = importlib.import_module("cxr.jobs.pretrain")
    words = ["extractor", "--out", str(tmp_path / "out"), "--size", "64", "--phantoms", "160", "--epochs", "2"]
    assert job.main(cli.parse(job.Args, [*words, "--dry-run"])) == 0
    told = capsys.readouterr().out
    assert "a classifier of 10 findings, 10 steps" in told and "\ntime: " in told
    assert not list(tmp_path.iterdir())
