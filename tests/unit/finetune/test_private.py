"""Differential privacy by patient: what one of them can change is bounded, the noise is as promised, and so is said."""

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.data.lineage import hashed_id, pseudonymise
from cxr.data.lineage_key import owner_key
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.errors import BadInput
from cxr.finetune import finish, job, runs
from cxr.finetune.config import FinetuneConfig, identity
from cxr.finetune.loop import load_checkpoint, save_checkpoint, train
from cxr.finetune.privacy import PatientDraws, Privacy, plan_privacy, spend, warn_of_noise
from cxr.ranks import Ranks

OWNERS = np.array([0, 1, 1, 2, 3, 4, 4, 4])  # patients of eight pictures, with one to three each
BOUND = 1e-3  # below the miniature's gradients
EVERYBODY = Privacy(8.0, 1e-3, 0.0, BOUND, 1.0, 4, 5)  # is in each step, and there is no noise
PRIVATE = {"epsilon": 2.0, "batch": 1}  # with few patients at a step the accountant is quick
NOISY = replace(EVERYBODY, sigma=2.0, sampling_rate=0.6)


@pytest.fixture
def private(miniature: StableDiffusion, bars):
    """`private(privacy, patients, **fields)`: the miniature in private training on pictures of the first patients."""
    from cxr.finetune.private_trainer import PrivateTrainer

    def make(privacy: Privacy = EVERYBODY, patients: int = 5, secret: int = 1, ranks: Ranks = Ranks(), **fields):  # noqa: B008
        small = {"size": 64, "batch": 4, "max_train_steps": 4, "rank": 4, "alpha": 2, "train_text_encoder": True}
        config = FinetuneConfig(**(small | fields), epsilon=8.0)
        owners = OWNERS[patients > OWNERS]
        draws, pictures = PatientDraws(privacy, owners, secret), bars(len(owners))
        trainer = PrivateTrainer(StableDiffusion(copy.deepcopy(miniature.pipe)), config, pictures, draws, ranks=ranks)
        chance = torch.Generator().manual_seed(0)
        with torch.no_grad():  # else all gradients of A are 0 at the first step
            for parameter in trainer.parameters.values():
                parameter += 0.1 * torch.randn(parameter.shape, generator=chance)
        return trainer

    return make


def gradient(trainer) -> torch.Tensor:
    """Of the next step."""
    trainer.backward()
    return torch.cat([parameter.grad.flatten() for parameter in trainer.parameters.values()])


def noise_of(trainer) -> torch.Tensor:
    """Of the first step."""
    noise = trainer.draws.noise(0, [parameter.shape for parameter in trainer.parameters.values()])
    return torch.from_numpy(np.concatenate([array.ravel() for array in noise]))


def test_a_patients_gradient_is_that_of_the_mean_error_of_their_pictures_alone(private) -> None:
    made = private()
    group = [np.flatnonzero(patient == OWNERS) for patient in (1, 3, 4)]
    errors, together = made.patient_gradients(group)
    for number, pictures in enumerate(group):
        batch = made.draw_schedule.batch_of(0, pictures.tolist(), [1.0] * len(pictures), 1)
        alone = made.objective.errors(batch).mean()
        assert alone.item() == pytest.approx(errors[number].item(), rel=1e-5)
        for found, expected in zip(together, torch.autograd.grad(alone, list(made.parameters.values())), strict=True):
            torch.testing.assert_close(found[number], expected, rtol=1e-3, atol=1e-7)
    assert any(gradients.abs().max() > 1e-5 for gradients in together)


@pytest.mark.parametrize("bound", [BOUND, 1e3])
def test_without_one_patient_the_clipped_sum_changes_by_the_bound_at_most(private, bound: float) -> None:
    """Of one with three pictures; where gradients are longer than the bound, by the bound."""
    with_all, without_last = (
        gradient(private(replace(EVERYBODY, bound=bound, patients=count), count)) * count for count in (5, 4)
    )
    change = (with_all - without_last).norm().item()
    assert 0 < change <= bound
    if bound == BOUND:
        assert change == pytest.approx(bound, rel=1e-2)


def test_the_noise_is_what_sigma_and_bound_say_and_another_at_each_step() -> None:
    draws = PatientDraws(NOISY, OWNERS, 1)
    first, again, later = (draws.noise(step, [(100, 100), (2000,)]) for step in (0, 0, 1))
    assert [array.shape for array in first] == [(100, 100), (2000,)] and first[0].dtype == np.float32
    for array in first:  # within four standard errors
        assert array.std() == pytest.approx(2.0 * BOUND, rel=4 / np.sqrt(2 * array.size))
        assert abs(array.mean()) < 4 * 2.0 * BOUND / np.sqrt(array.size)
    assert np.array_equal(first[1], again[1])
    for other in (later, PatientDraws(NOISY, OWNERS, 2).noise(0, [(100, 100), (2000,)])):
        assert abs(np.corrcoef(first[1], other[1])[0, 1]) < 0.1


def test_what_is_drawn_for_a_picture_is_as_secret_as_the_noise(private) -> None:
    """Else who knows the recipe's seed could tell a patient by what their presence changes for others."""
    schedule = private().draw_schedule
    one, again, other = (schedule.batch_of(0, range(8), [1.0] * 8, secret) for secret in (2**255, 2**255, 2**255 + 1))
    assert torch.equal(one.noise, again.noise) and not torch.equal(one.noise[0], other.noise[0])
    assert one.times.tolist() == again.times.tolist() != other.times.tolist()


def test_where_nobody_is_drawn_the_step_is_noise_over_the_expected_number_of_patients(private) -> None:
    made = private(replace(NOISY, sampling_rate=1e-9))
    torch.testing.assert_close(gradient(made) * made.draws.privacy.expected, noise_of(made), rtol=1e-5, atol=0)


def test_each_patient_is_drawn_on_their_own_with_all_their_pictures() -> None:
    draws = PatientDraws(replace(NOISY, sampling_rate=0.3), OWNERS, 1)
    steps = [draws.sample(step, 3) for step in range(2000)]
    drawn = np.zeros((len(steps), 5))
    for step, patients in enumerate(steps):
        for pictures in patients:
            patient = OWNERS[pictures[0]]
            assert pictures.tolist() == np.flatnonzero(patient == OWNERS).tolist()
            drawn[step, patient] = 1
    assert np.abs(drawn.mean(axis=0) - 0.3).max() < 4 * np.sqrt(0.21 / 2000)
    assert np.abs(np.corrcoef(drawn.T)[np.triu_indices(5, 1)]).max() < 0.1
    assert drawn.sum(axis=1).var() == pytest.approx(5 * 0.21, rel=0.2)  # the size of a step varies too
    assert {len(pictures) for step in range(20) for pictures in draws.sample(step, 2)} == {1, 2}


def test_workers_share_the_patients_and_have_the_same_noise(private) -> None:
    class Alone(Ranks):
        def all_reduce(self, tensors) -> None:
            pass

    shares = [private(NOISY, ranks=Alone(rank, 2)) for rank in range(2)]
    total = sum(gradient(share) for share in shares) - noise_of(shares[1]) / NOISY.expected
    torch.testing.assert_close(total, gradient(private(NOISY)), rtol=1e-4, atol=1e-8)


def test_a_checkpoint_goes_on_with_the_same_patients_and_noise(private, tmp_path: Path) -> None:
    undisturbed, interrupted, resumed = (
        private(replace(NOISY, patients=3), 3, ema=0.9, train_text_encoder=False) for _ in range(3)
    )
    undisturbed.step(), undisturbed.step()
    interrupted.step()
    save_checkpoint(interrupted, tmp_path / "checkpoint.pt")
    load_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.step()
    for name, parameter in undisturbed.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name])
    assert not torch.equal(parameter, interrupted.parameters[name])


def test_no_loss_of_training_patients_is_told_and_the_last_checkpoint_is_kept(private) -> None:
    told, kept, scores = [], [], iter([0.1, 0.2])
    made = private(NOISY, max_train_steps=2, validate_every=1)
    train(made, lambda: {"mse": next(scores)}, told.append, kept.append)
    assert kept == [True, True] and made.selection.step == 2
    assert [set(metrics) for metrics in told] == [{"step", "learning_rate", "gradient_norm", "mse"}] * 2


@pytest.mark.parametrize(
    ("patients", "batch", "steps", "epsilon", "sigma"),
    [(389, 16, 300, 1, 2.52), (389, 16, 300, 8, 0.75), (389, 128, 300, 1, 18.8), (80_000, 1024, 4000, 1, 3.75)],
)
def test_the_noise_is_what_opacus_says(patients: int, batch: int, steps: int, epsilon: float, sigma: float) -> None:
    found = plan_privacy(FinetuneConfig(epsilon=epsilon, batch=batch, max_train_steps=steps), patients)
    assert found.sigma == pytest.approx(sigma, rel=5e-3)
    assert found.delta == 1 / (10 * patients) and found.sampling_rate == batch / patients and found.steps == steps
    assert epsilon - 0.02 < found.epsilon <= epsilon
    assert spend(found.sigma, found.sampling_rate, steps // 2, found.delta) < found.epsilon
    assert found.noise_share == pytest.approx(sigma / batch, rel=5e-3)


def test_who_has_few_patients_is_warned_and_who_has_many_is_not() -> None:
    lines: list[str] = []
    warn_of_noise(Privacy(7.99, 1e-6, 0.87, 0.05, 1024 / 80_000, 4000, 80_000), lines.append)
    assert lines == []
    warn_of_noise(Privacy(7.99, 2.6e-4, 0.75, 0.05, 16 / 389, 300, 389), lines.append)
    assert "0.75 bounds on the sum over 16 of 389 patients is 0.047 of the longest gradient" in lines[0]
    assert "5 times as many patients" in lines[0]


@pytest.mark.parametrize(
    ("columns", "fields", "line"),
    [
        ({}, {"epsilon": None, "delta": 1e-5}, "--delta 1e-05: is of --epsilon"),
        ({}, {"method": "dreambooth"}, "--epsilon with --method dreambooth: .*; take lora"),
        ({}, {"prior_weight": 1.0}, "--epsilon with --prior-weight"),
        ({}, {"folds": 2}, "--epsilon with --folds: each fold trains on the patients again"),
        ({}, {"patience": 2}, "--epsilon with --patience"),
        ({}, {"gradient_checkpointing": True}, "--epsilon with --gradient-checkpointing"),
        ({}, {"precision": "fp16"}, "--epsilon with --precision fp16"),
        ({"patient_id": None}, {}, "--epsilon: of 28 of 28 training pictures the patient is not known"),
        ({}, {"batch": 15}, "--batch 15 x 1 accumulated: more than the 14 training patients"),
        ({}, {"delta": 0.1}, "--delta 0.1: with 14 training patients .* less than 0.071"),
        ({}, {"epsilon": 1e-3, "delta": 1e-6}, "--epsilon 0.001: no noise keeps this"),
    ],
)
def test_what_would_not_hold_is_refused_before_anything_is_written(
    prepared, tmp_path: Path, columns: dict, fields: dict, line: str
) -> None:
    with pytest.raises(BadInput, match=line):
        prepared(columns, **{**PRIVATE, **fields})
    assert not (tmp_path / "out").exists()


def test_a_base_with_batch_norm_is_refused(private, miniature, monkeypatch) -> None:
    pipe = copy.deepcopy(miniature.pipe)
    pipe.unet.conv_norm_out = torch.nn.BatchNorm2d(pipe.unet.conv_norm_out.num_channels)
    monkeypatch.setattr(miniature, "pipe", pipe)
    with pytest.raises(BadInput, match="--epsilon: the base's UNet2DConditionModel has batch norm, by which"):
        private()


def test_a_base_that_saw_these_patients_is_refused(prepared) -> None:
    ready = prepared(**PRIVATE)
    for patients, refused in (({"p3"}, True), ({"p15", "p16", "elsewhere"}, False)):  # of training; of others
        seen = pseudonymise((hashed_id(patient, "") for patient in patients), owner_key())
        known = replace(ready, model=replace(ready.model, lineage=(seen,)))
        if not refused:
            job.refuse_known_patients(known)
            continue
        with pytest.raises(BadInput, match="was trained on patients of this set already"):
            job.refuse_known_patients(known)


def test_the_draws_are_of_the_owners_key_and_of_one_recipe(prepared, monkeypatch) -> None:
    draws = job.draw_patients(prepared(**PRIVATE))
    assert draws.owners.tolist() == np.unique([f"p{n // 2}" for n in range(28)], return_inverse=True)[1].tolist()
    assert job.draw_patients(prepared(**PRIVATE)).secret == draws.secret and str(draws.secret) not in repr(draws)
    assert job.draw_patients(prepared(**PRIVATE, learning_rate=1e-3)).secret != draws.secret
    monkeypatch.setenv("CXR_LINEAGE_KEY", "another key of somebody else")
    assert job.draw_patients(prepared(**PRIVATE)).secret != draws.secret
    assert job.draw_patients(prepared()) is None


def test_record_and_card_tell_the_promise_and_what_it_takes_for_granted(prepared, tmp_path: Path) -> None:
    ready = prepared(**PRIVATE)
    ready.begin(ready.plan)
    history = [{"step": 0, "mse": 0.5}, {"step": 4, "mse": 0.5}]
    result = runs.Result(4, 2, {"mse": 0.5}, {"mse": 0.5}, {}, [], history, "a GPU")
    ready.store.put(runs.result_key(runs.FINAL), json.dumps(asdict(result)).encode())
    record = ready.make(lambda: finish.complete(ready, {"total": 1.0}))
    told = record.metrics["privacy"]
    assert 1.9 < told["epsilon"] <= 2 and told["delta"] == 1 / 140 and told["unit"] == "patient"
    assert (told["bound"], told["sampling_rate"], told["steps"], told["patients"]) == (0.05, 1 / 14, 4, 14)
    assert told["accountant"].startswith("Renyi differential privacy, Opacus 1.") and len(told["assumptions"]) > 3
    card = (tmp_path / "out" / finish.CARD_KEY).read_text()
    assert "## Differential privacy by patient" in card and "The last step is kept: step 4" in card
    assert f"epsilon {told['epsilon']:.3g}, delta 0.0071" in card and told["assumptions"][0] in card


def test_a_recipe_without_privacy_is_what_it_was() -> None:
    assert not {"epsilon", "delta", "clip_bound"} & set(identity(FinetuneConfig(), "m", "d"))
    assert identity(FinetuneConfig(epsilon=8), "m", "d")["clip_bound"] == 0.05
