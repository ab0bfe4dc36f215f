"""One loop: the same curve however it is cached, shared, interrupted or accumulated; and what stops it."""

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.errors import BadInput
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.loop import Trainer, load_checkpoint, save_checkpoint, train
from cxr.ranks import Ranks

LORA, DREAMBOOTH = {"method": "lora", "train_text_encoder": True}, {"method": "dreambooth"}
METHODS = pytest.mark.parametrize("fields", [LORA, DREAMBOOTH], ids=["lora with text", "dreambooth"])
ONE_METHOD = pytest.mark.parametrize(
    "fields",
    [LORA, pytest.param(DREAMBOOTH, marks=pytest.mark.slow)],
    ids=["lora with text", "dreambooth"],
)  # where both share the code


@ONE_METHOD
def test_caching_changes_no_loss(trainer, losses, bars, fields: dict) -> None:
    kept, anew = trainer(bars(4), flip=0.5, **fields), trainer(bars(4), flip=0.5, cache=False, **fields)
    assert losses(kept, 4) == pytest.approx(losses(anew, 4), rel=1e-5)
    assert any(flipped for _, flipped in kept.objective.moments.kept)
    assert not anew.objective.moments.kept


def test_kept_latents_are_drawn_anew_each_time(trainer, bars) -> None:
    alone = trainer(bars(2), caption_dropout=0.0)
    first, second = (alone.draw_schedule.batch(step, range(2)) for step in (0, 1))
    assert sorted(first.rows) == sorted(second.rows) == [0, 1]
    assert not torch.equal(first.posterior, second.posterior)
    errors = [alone.objective.errors(b) for b in (first, copy_with(first, posterior=second.posterior))]
    assert not torch.equal(*errors)


def copy_with(batch, **fields):
    changed = copy.copy(batch)
    for name, value in fields.items():
        object.__setattr__(changed, name, value)
    return changed


@pytest.mark.parametrize(
    ("fields", "prior_weight"),
    [
        (LORA, 0.5),
        (DREAMBOOTH, 0.0),
        *(pytest.param(*both, marks=pytest.mark.slow) for both in ((LORA, 0.0), (DREAMBOOTH, 0.5))),
    ],
)
def test_two_shares_of_the_batch_add_up_to_the_whole(trainer, fields: dict, prior_weight: float, bars) -> None:
    classes = bars(3, 20) if prior_weight else None
    settings = {"batch": 4, "accumulation": 2, "classes": classes, "prior_weight": prior_weight, **fields}
    whole = trainer(**settings)
    loss = whole.backward()
    halves = [trainer(ranks=Alone(rank, 2), **settings) for rank in range(2)]
    assert sum(half.backward() for half in halves) == pytest.approx(loss, rel=1e-5)
    for name, parameter in whole.parameters.items():
        total = sum(half.parameters[name].grad for half in halves)
        torch.testing.assert_close(total, parameter.grad, rtol=1e-4, atol=1e-6)


class Alone(Ranks):
    """One of two workers, who does not wait for the other."""

    def all_reduce(self, tensors) -> None:
        pass


def test_accumulation_gives_the_step_of_one_large_batch(trainer, losses) -> None:
    assert losses(trainer(batch=4), 3) == pytest.approx(losses(trainer(batch=2, accumulation=2), 3), rel=1e-4)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(random_model: Path, trainer, losses, tmp_path: Path, bars) -> None:
    mp.spawn(worker, (random_model, bars(12), tmp_path), nprocs=2)
    curves = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert curves[0] == curves[1]
    assert curves[0] == pytest.approx(losses(trainer(batch=4), 4), rel=1e-4)


def worker(rank: int, model: Path, pictures: CaptionedImages, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    config = FinetuneConfig(size=64, batch=4, max_train_steps=4, rank=4, alpha=2, learning_rate=1e-2)
    trainer = Trainer(StableDiffusion.load(model, torch.float32), config, pictures, ranks=Ranks.here())
    torch.save([trainer.step()["loss"] for _ in range(4)], folder / f"{rank}.pt")


@ONE_METHOD
def test_a_checkpoint_continues_the_interrupted_curve_exactly(trainer, losses, tmp_path: Path, fields: dict) -> None:
    settings = {"ema": 0.9, "warmup": 2, "max_train_steps": 4, **fields}
    undisturbed, interrupted, resumed = (trainer(**settings) for _ in range(3))
    expected = losses(undisturbed, 4)
    first = losses(interrupted, 2)
    save_checkpoint(interrupted, tmp_path / "checkpoint.pt")
    losses(interrupted, 1)  # done, but lost
    load_checkpoint(resumed, tmp_path / "checkpoint.pt")
    assert first + losses(resumed, 2) == expected
    for name, parameter in undisturbed.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name])
    for one, other in zip(undisturbed.ema.shadow_params, resumed.ema.shadow_params, strict=True):
        assert torch.equal(one, other)


def test_the_selection_is_resumed_too(trainer, tmp_path: Path) -> None:
    before, after = trainer(patience=2), trainer(patience=2)
    before.selection.update(1, {"mse": 0.5})
    before.selection.update(2, {"mse": 0.6})
    save_checkpoint(before, tmp_path / "checkpoint.pt")
    load_checkpoint(after, tmp_path / "checkpoint.pt")
    assert after.selection == before.selection


def test_a_checkpoint_of_another_recipe_is_refused(trainer, tmp_path: Path) -> None:
    save_checkpoint(trainer(recipe={"rank": 4, "seed": 1}), tmp_path / "checkpoint.pt")
    with pytest.raises(BadInput, match=r"checkpoint of step 0 is of another recipe \(seed 1 -> 2\)"):
        load_checkpoint(trainer(recipe={"rank": 4, "seed": 2}), tmp_path / "checkpoint.pt")


def test_half_a_checkpoint_is_refused(trainer, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(trainer(), path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BadInput, match="not a whole checkpoint"):
        load_checkpoint(trainer(), path)


@METHODS
def test_frozen_parameters_stay_as_they_were(trainer, losses, fields: dict) -> None:
    made = trainer(**fields)
    modules = {"unet": made.model.pipe.unet, "text_encoder": made.model.pipe.text_encoder, "vae": made.model.pipe.vae}
    named = {f"{part}.{name}": p for part, m in modules.items() for name, p in m.named_parameters()}
    before = {name: p.detach().clone() for name, p in named.items()}
    losses(made, 3)
    same = {name for name, p in named.items() if torch.equal(p, before[name])}
    assert same >= set(named) - set(made.parameters)
    assert not same & set(made.parameters)


def test_training_lowers_the_loss_on_fixed_noise(trainer, losses, bars) -> None:
    from cxr.finetune.validation import Validation

    made = trainer(method="dreambooth", max_train_steps=24, learning_rate=5e-3, batch=4)
    validation = Validation(made, bars(12))
    before = validation()["mse"]
    losses(made, 24)
    assert validation()["mse"] < 0.8 * before


@pytest.mark.parametrize(
    ("fields", "factors"),
    [
        ({"schedule": "cosine", "warmup": 2}, [0.0, 0.5, 1.0, (1 + math.cos(math.pi / 4)) / 2, 0.5]),
        ({"schedule": "constant", "warmup": 2}, [0.0, 0.5, 1.0, 1.0, 1.0]),
        ({"schedule": "constant"}, [1.0] * 5),
    ],
)
def test_the_learning_rate_warms_up_and_follows_its_schedule(trainer, fields: dict, factors: list[float]) -> None:
    made = trainer(learning_rate=1e-3, max_train_steps=6, **fields)
    rates = [made.step()["learning_rate"] for _ in range(5)]
    assert rates == pytest.approx([1e-3 * factor for factor in factors], abs=1e-12)


def test_gradients_are_clipped_once_a_step_after_the_last_pass(trainer) -> None:
    made = trainer(accumulation=2, max_grad_norm=1e-3)
    loss = made.backward()
    whole = torch.cat([g.flatten() for g in made.gradients()]).norm()
    stepped = []
    made.optimizer.register_step_pre_hook(lambda *_: stepped.append(torch.cat([g.flatten() for g in made.gradients()])))
    assert made.update(loss) == pytest.approx(whole.item(), rel=1e-5)
    assert len(stepped) == 1 and stepped[0].norm() == pytest.approx(1e-3, rel=1e-3)


def test_the_moving_average_is_what_is_validated_and_leaves_no_trace(trainer, losses) -> None:
    made = trainer(ema=0.5, schedule="constant")
    name, parameter = next(iter(made.parameters.items()))
    average = parameter.detach().clone()
    for step in range(1, 4):
        losses(made, 1)
        decay = 0.0 if step == 1 else min(0.5, step / (9 + step))
        average = decay * average + (1 - decay) * parameter.detach()
    now = parameter.detach().clone()
    with made.averaged():
        torch.testing.assert_close(made.parameters[name].detach(), average)
        assert not made.model.pipe.unet.training
    assert torch.equal(parameter, now) and not torch.equal(now, average)
    assert made.model.pipe.unet.training


def test_training_ends_at_its_last_step_or_when_patience_does(trainer) -> None:
    seen, kept = [], []
    scores = iter([0.5, 0.4, 0.6, 0.7, 0.3])
    made = trainer(max_train_steps=9, validate_every=1, patience=2)
    train(made, lambda: {"mse": next(scores)}, seen.append, kept.append)
    assert kept == [True, True, False, False]
    assert made.finished and made.done == 4 and made.selection.step == 2
    assert [metrics["mse"] for metrics in seen] == [0.5, 0.4, 0.6, 0.7]
    train(made, lambda: pytest.fail("finished"), seen.append, kept.append)
    last = trainer(max_train_steps=5, validate_every=2)
    kept.clear()
    train(last, lambda: {"mse": 1.0}, seen.append, kept.append)
    assert last.done == 5 and kept == [True, False, False]  # after steps 2, 4 and 5


@pytest.mark.parametrize(
    ("fields", "precision"),
    [
        (LORA, "bf16"),
        (DREAMBOOTH, "fp16"),
        *(pytest.param(*both, marks=pytest.mark.slow) for both in ((LORA, "fp16"), (DREAMBOOTH, "bf16"))),
    ],
)
def test_half_precision_follows_full_precision(trainer, losses, precision: str, fields: dict) -> None:
    half, full = trainer(precision=precision, **fields), trainer(**fields)
    norms = [made.step()["gradient_norm"] for made in (half, full)]
    assert norms[0] == pytest.approx(norms[1], rel=0.05)
    assert losses(half, 2) == pytest.approx(losses(full, 2), rel=0.03)
    assert all(p.dtype == torch.float32 for p in half.parameters.values())


@METHODS
def test_gradient_checkpointing_changes_no_gradient(trainer, fields: dict) -> None:
    saving, plain = trainer(gradient_checkpointing=True, **fields), trainer(**fields)
    assert saving.backward() == pytest.approx(plain.backward(), rel=1e-6)
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(saving.parameters[name].grad, parameter.grad)


def test_a_loss_that_is_no_number_stops_and_spoils_no_weight(trainer, losses) -> None:
    made = trainer()
    losses(made, 2)
    before = {name: p.detach().clone() for name, p in made.parameters.items()}
    made.objective.errors = lambda batch: sum(p.sum() for p in made.parameters.values()) * torch.full((2,), math.nan)
    with pytest.raises(BadInput, match=r"step 3: .*not a number.*--learning-rate"):
        made.step()
    assert all(torch.equal(p, before[name]) for name, p in made.parameters.items())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"batch": 13}, "--batch 13 x 1 accumulated: more than the 12 pictures"),
        ({"batch": 5, "accumulation": 3}, "--batch 5 x 3"),
        ({"prior_weight": 1.0}, "--prior-weight 1 with 0 class pictures"),
        ({"ranks": Ranks(0, 5), "batch": 4}, "--batch 4 is too small for 5 workers"),
    ],
)
def test_a_step_that_cannot_be_filled_is_refused(trainer, settings: dict, line: str) -> None:
    with pytest.raises(BadInput, match=line):
        trainer(**settings)


def test_a_size_that_the_autoencoder_cannot_halve_is_refused(random_model: Path) -> None:
    with pytest.raises(BadInput, match=r"--size 66: .* a multiple of 4"):
        StableDiffusion.check_size(random_model, 66)


def test_the_seed_alone_decides_a_curve(trainer, losses) -> None:
    torch.manual_seed(1)
    first = losses(trainer(), 2)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert losses(trainer(), 2) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    assert losses(trainer(seed=1), 2) != first
