"""Every family beside the first: the pictures of diffusers' own pipeline, training that holds, files that come back."""

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler

from cxr.audit.denoising import measure_errors
from cxr.diffusion.config import AdapterConfig, SamplerConfig
from cxr.diffusion.family import DiffusionModel, check_networks, family_of
from cxr.diffusion.lora_files import read_lora
from cxr.diffusion.sampler import Sampler, to_gray
from cxr.errors import BadInput
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer
from cxr.finetune.privacy import PatientDraws, Privacy
from cxr.weights import check_spec, resolve, resolve_lora
from cxr.weights.families import FAMILIES
from cxr.weights.kinds import LORA_FILE

SAMPLER = SamplerConfig(size=64, steps=3, batch=2, guidance=3.0)
SMALL = {"size": 64, "batch": 2, "max_train_steps": 40, "rank": 4, "learning_rate": 1e-2, "schedule": "constant"}
PROMPTS = ["Pneumonia on the left", "normal", "effusion"]
SEEDS = [3, 4, 5]
Load = Callable[[], DiffusionModel]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_trainer(model: DiffusionModel, bars: CaptionedImages, **fields: Any) -> Trainer:
    return Trainer(model, FinetuneConfig(**(SMALL | fields)), bars)


def pictures(folder: Path, lora: Path | None = None, negatives: tuple[str, ...] = ("", "", "")) -> np.ndarray:
    return Sampler.load(folder, lora, SAMPLER)(PROMPTS, negatives, SEEDS).astype(int)


def stock_pictures(folder: Path, noise: torch.Tensor, negatives: list[str] | None) -> np.ndarray:
    """What diffusers' pipeline makes of the same noise, with the solver that we use."""
    pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    kind = type(pipe).__name__
    if kind in ("StableDiffusionXLPipeline", "PixArtSigmaPipeline"):
        config = pipe.scheduler.config
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++")
    settings: dict[str, Any] = {"negative_prompt": negatives}
    if kind in ("PixArtSigmaPipeline", "SanaPipeline"):
        settings |= {"clean_caption": False, "use_resolution_binning": False}
        settings["negative_prompt"] = negatives or [""] * len(noise)
    return to_gray(
        pipe(PROMPTS[: len(noise)], latents=noise, height=64, width=64, num_inference_steps=3, guidance_scale=3.0,
             output_type="pt", **settings).images
    ).astype(int)  # fmt: skip


@pytest.mark.parametrize(
    "negatives",
    [
        pytest.param(None, id="no text"),
        pytest.param(["blurred", "a hand"], id="negative text", marks=pytest.mark.slow),
    ],
)
def test_the_pictures_are_those_of_diffusers_pipeline(folder: Path, negatives: list[str] | None) -> None:
    sampler = Sampler.load(folder, None, SAMPLER)
    ours = sampler(PROMPTS[:2], negatives or ["", ""], SEEDS[:2]).astype(int)
    assert ours.std() > 5
    noise = sampler.noise([torch.Generator().manual_seed(seed) for seed in SEEDS[:2]])
    assert np.abs(ours - stock_pictures(folder, noise, negatives)).max() <= 1


@pytest.mark.slow
def test_a_picture_is_the_same_alone_in_company_and_after_a_restart(folder: Path) -> None:
    whole = pictures(folder)
    sampler = Sampler.load(folder, None, SAMPLER)
    for row in (2, 0, 1):
        assert np.array_equal(sampler([PROMPTS[row]], [""], [SEEDS[row]])[0], whole[row])
    larger = Sampler.load(folder, None, SAMPLER.model_copy(update={"batch": 3}))(PROMPTS, [""] * 3, SEEDS)
    assert np.abs(larger.astype(int) - whole).max() <= 1
    assert len({picture.tobytes() for picture in whole}) == 3
    assert (pictures(folder, negatives=("blurred", "", ""))[0] != whole[0]).any()


@pytest.mark.slow
def test_a_lora_learns_and_comes_back_as_it_was(
    folder: Path, load: Load, bars: CaptionedImages, tmp_path: Path
) -> None:
    trainer = make_trainer(load(), bars, alpha=8)
    batch = trainer.draw_schedule.batch(7, range(2))
    trainer.draw_schedule = SimpleNamespace(batch=lambda *_: batch)  # always the same: whether it can learn
    losses = [trainer.step()["loss"] for _ in range(40)]
    assert losses[-1] < 0.95 * losses[0]
    with trainer.averaged():
        during = Sampler(trainer.model, SAMPLER)(PROMPTS, [""] * 3, SEEDS).astype(int)
    trainer.model.save(trainer.config, tmp_path)
    found = resolve_lora(str(tmp_path))
    read = read_lora(found.path, folder)
    denoiser, *others = FAMILIES[json.loads((folder / "model_index.json").read_text())["_class_name"]].trained
    assert read.summary["layers"][denoiser] > 4 and not any(read.summary["layers"][part] for part in others)
    reloaded = pictures(folder, found.path)
    assert np.abs(reloaded - during).max() <= 1
    assert np.abs(reloaded - pictures(folder)).mean() > 1


@pytest.mark.slow
def test_a_whole_model_comes_back_as_it_was_and_is_whole(load: Load, bars: CaptionedImages, tmp_path: Path) -> None:
    trainer = make_trainer(load(), bars, method="dreambooth", learning_rate=1e-3)
    for _ in range(2):
        trainer.step()
    with trainer.averaged():
        during = Sampler(trainer.model, SAMPLER)(PROMPTS, [""] * 3, SEEDS).astype(int)
    trainer.model.save(trainer.config, tmp_path / "model")
    found = resolve(check_spec(str(tmp_path / "model")))
    check_networks(found)
    assert np.abs(pictures(found.path) - during).max() <= 1
    assert str(tmp_path) not in "".join(path.read_text() for path in found.path.rglob("*config.json"))


@pytest.mark.slow
def test_what_is_kept_changes_no_loss_and_two_shares_add_up(load: Load, bars: CaptionedImages) -> None:
    kept, anew = (make_trainer(load(), bars, cache=cache, caption_dropout=0.4) for cache in (True, False))
    assert [kept.step()["loss"] for _ in range(2)] == pytest.approx([anew.step()["loss"] for _ in range(2)], rel=1e-4)
    batch = kept.draw_schedule.batch(5, range(2))
    with torch.no_grad():
        whole = kept.objective.errors(batch)
        halves = [kept.objective.errors(kept.draw_schedule.batch(5, [slot])) for slot in range(2)]
    torch.testing.assert_close(whole, torch.cat(halves), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_checkpoint_goes_on_exactly(load: Load, bars: CaptionedImages) -> None:
    first = make_trainer(load(), bars, ema=0.9)
    first.step()
    state = {**first.state_dict(), "parameters": {n: p.detach().clone() for n, p in first.parameters.items()}}
    second = make_trainer(load(), bars, ema=0.9)
    second.load_state_dict(state)
    assert second.step()["loss"] == first.step()["loss"]


@pytest.mark.slow
def test_large_text_encoders_are_gone_while_training_and_sampling(load: Load, bars: CaptionedImages) -> None:
    model = load()
    if not hasattr(model, "reader"):
        pytest.skip("its text encoders are small, and stay")
    encoder = weakref.ref(next(part for part in model.text_parts if part.startswith("text_encoder")) and model.reader)
    trainer = make_trainer(model, bars)
    trainer.step()
    Sampler(model, SAMPLER)(PROMPTS, [""] * 3, SEEDS)
    gc.collect()
    assert encoder() is None and "reader" not in vars(model)
    assert all(model.pipe.components[part] is None for part in model.text_parts)
    with pytest.raises(BadInput, match="--train-text-encoder"):
        model.check_method(AdapterConfig(train_text_encoder=True))


@pytest.mark.slow
def test_a_wrong_lora_or_a_wrong_folder_is_one_line(
    folder: Path, family_folder, load: Load, bars: CaptionedImages, tmp_path: Path
) -> None:
    trainer = make_trainer(load(), bars)
    trainer.model.save(trainer.config, tmp_path / "lora")
    for name in (name for name in FAMILIES if name != "StableDiffusionPipeline"):
        if (other := family_folder(name)) != folder:
            with pytest.raises(BadInput, match="made for another base model") as told:
                read_lora(tmp_path / "lora" / LORA_FILE, other)
            assert "\n" not in str(told.value)
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    shutil.rmtree(broken / "text_encoder")
    with pytest.raises(BadInput, match="text_encoder/ is missing or incomplete"):
        check_spec(str(broken))


@pytest.mark.slow
def test_networks_of_two_models_or_a_missing_weight_are_told(folder: Path, tmp_path: Path) -> None:
    check_networks(resolve(check_spec(str(folder))))
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    config = json.loads((mixed / "text_encoder" / "config.json").read_text())
    for name in ("hidden_size", "d_model", "projection_dim"):
        config |= {name: 4 * config[name]} if isinstance(config.get(name), int) else {}
    (mixed / "text_encoder" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="of two models"):
        check_networks(resolve(str(mixed)))


def test_texts_that_are_too_long_are_counted(folder: Path) -> None:
    assert family_of(folder).count_too_long(folder, ["normal", "pneumonia, " * 200]) == 1


def test_a_size_that_the_model_cannot_make_is_refused(folder: Path) -> None:
    family_of(folder).check_size(folder, 64)
    with pytest.raises(BadInput, match="multiple of"):
        family_of(folder).check_size(folder, 68)


@pytest.mark.slow
def test_an_audit_measures_its_denoising(load: Load, bars: CaptionedImages) -> None:
    model, heard = load(), []
    found = measure_errors(model, bars.pixels[:2], bars.captions[:2], 0, heard.append)
    assert found.plain.shape == (2, 16) and found.proximal.shape == (2, 8) and heard == [2]
    assert np.isfinite(found.plain).all() and (found.plain > 0).all()


@pytest.mark.slow
def test_a_private_training_has_each_patients_own_gradient(load: Load, bars: CaptionedImages) -> None:
    from cxr.finetune.private_trainer import PrivateTrainer  # Opacus takes seconds to import

    owners = np.array([0, 0, 1, 2, 2, 2])
    privacy = Privacy(epsilon=8.0, delta=1e-3, sigma=0.0, bound=1.0, patients=3, sampling_rate=1.0, steps=4)
    config = FinetuneConfig(**(SMALL | {"batch": 6, "alpha": 4}), epsilon=8.0)
    made = PrivateTrainer(load(), config, bars, PatientDraws(privacy, owners, 1))
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():  # else all gradients of A are 0 at the first step
        for parameter in made.parameters.values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=chance)
    group = [np.flatnonzero(owners == patient) for patient in range(3)]
    errors, together = made.patient_gradients(group)
    for number, rows in enumerate(group):
        batch = made.draw_schedule.batch_of(0, rows.tolist(), [1.0] * len(rows), 1)
        alone = made.objective.errors(batch).mean()
        assert alone.item() == pytest.approx(errors[number].item(), rel=1e-4)
        for found, expected in zip(together, torch.autograd.grad(alone, list(made.parameters.values())), strict=True):
            torch.testing.assert_close(found[number], expected, rtol=1e-3, atol=1e-6)
    assert any(gradients.abs().max() > 1e-5 for gradients in together)
