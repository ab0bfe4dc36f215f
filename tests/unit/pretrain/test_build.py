"""The whole of pretraining in small: the pipeline loads, and a restart gives what one go gives."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler
from cxr.embedded.phantoms import draw_phantom
from cxr.errors import BadInput
from cxr.pretrain.build import build, draw_training_phantom
from cxr.pretrain.config import DenoiserConfig, PretrainConfig, TextConfig, VaeConfig
from cxr.prompts.findings import SEVERAL
from cxr.weights import write_digest

SMALL = PretrainConfig(
    size=64,
    phantoms=12,
    vae=VaeConfig(channels=(8, 8, 8), steps=2),
    text=TextConfig(vocabulary=700, width=32, layers=1, steps=2, batch=4),
    denoiser=DenoiserConfig(channels=(8, 8, 16, 16), heads=2, steps=2, batch=4, warmup=1),
)


@pytest.fixture(autouse=True, scope="module")
def few_captions() -> Iterator[None]:
    """400 in place of 20,000: this vocabulary is full by then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cxr.pretrain.build.CORPUS", 400)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(SMALL, folder)
    return folder


def test_the_pipeline_samples_what_its_own_size_says(built):
    write_digest(built)
    sampler = Sampler.load(built, None, SamplerConfig(size=64, steps=2, batch=2))
    pictures = sampler(["clear lungs", "a nodule", "a mass"], [""] * 3, [1, 2, 3])
    assert pictures.shape == (3, 64, 64) and pictures.std() > 0


def test_a_restart_after_the_autoencoder_gives_the_same_model(built, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("cxr.pretrain.build.train_text_encoder", killed)
        build(SMALL, tmp_path)
    assert (tmp_path / "vae" / "config.json").exists() and not (tmp_path / "model_index.json").exists()
    build(SMALL, tmp_path)
    assert write_digest(tmp_path) == write_digest(built)


def test_a_share_of_training_phantoms_shows_several_patterns_and_the_others_stay():
    mixed = [draw_training_phantom(7, number, 28, several=0.5) for number in range(16)]
    counts = np.array([len(one.attributes.signs) for one in mixed])
    assert set(counts) == {1, 2, 3} and 4 < (counts > 1).sum() < 12
    for number in np.flatnonzero(counts == 1)[:3]:
        np.testing.assert_array_equal(mixed[number].pixels, draw_phantom(7, int(number), size=28).pixels)


def test_a_share_shows_each_of_three_findings_by_the_toss_of_a_coin():
    mixed = [draw_training_phantom(7, number, 28, several=0.2, independent=0.8) for number in range(60)]
    shown = [{sign.pattern for sign in one.attributes.signs} for one in mixed]
    tossed = [one for one in shown if one <= set(SEVERAL)]
    assert 40 < len(tossed) < 56 and set() in tossed and set(SEVERAL) in tossed
    assert all(0.3 < np.mean([name in one for one in tossed]) < 0.7 for name in SEVERAL)


def test_going_on_from_a_model_keeps_its_autoencoder_and_trains_the_rest_further(built, tmp_path):
    write_digest(built)
    build(SMALL.model_copy(update={"start": str(built)}), tmp_path)
    went_on, before = (
        StableDiffusionPipeline.from_pretrained(folder, local_files_only=True) for folder in (tmp_path, built)
    )
    for part, kept in (("vae", True), ("text_encoder", False), ("unet", False)):
        both = [torch.cat([p.flatten() for p in getattr(pipe, part).parameters()]) for pipe in (went_on, before)]
        assert torch.equal(*both) is kept
        torch.testing.assert_close(*both, atol=0.05, rtol=0)  # two steps from where the other ended, not anew


def test_a_start_of_another_size_is_refused(built, tmp_path):
    write_digest(built)
    with pytest.raises(BadInput, match=r"64 pixels a side; give --size 64"):
        build(SMALL.model_copy(update={"start": str(built), "size": 128}), tmp_path)
