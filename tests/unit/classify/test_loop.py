"""One loop: the same curve however it is shared or disturbed, the point that validation chooses, and what stops it."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import save
from torch import Tensor, nn

from cxr.classify import loop
from cxr.classify.config import ClassifyConfig
from cxr.classify.curve import ValidationPoint, best_point
from cxr.classify.loop import (
    LabelledImages,
    TrainingPhase,
    draw_batches,
    predict_probabilities,
    train_classifier,
    validation_steps,
)
from cxr.classify.task import OneFinding
from cxr.errors import BadInput
from cxr.ranks import Ranks

CONFIG = ClassifyConfig(
    network="cnn", resize=36, size=32, flip=False, epochs=3, batch=16, learning_rate=3e-3, precision="fp32"
)
TRAIN, VALIDATION, TEST = np.split(np.arange(160), [96, 128])


def stripes(classes: int = 2) -> LabelledImages:
    """Noise with stripes that run across, down, or not at all."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % classes
    waves = 90 * np.sin(np.arange(36) * 0.8 + rng.uniform(0, 6, (160, 1, 1))) * np.ones((1, 36, 1))
    waves[labels == 1] = waves[labels == 1].transpose(0, 2, 1)
    waves[labels == 2] = 0
    pixels = (127 + waves + rng.normal(0, 12, waves.shape)).astype(np.uint8)
    pixels.flags.writeable = False  # as a store that many processes share gives it
    return LabelledImages(pixels, labels, VALIDATION)


def changed(**fields) -> ClassifyConfig:
    return CONFIG.model_copy(update=fields)


def phase(steps: int = 18) -> TrainingPhase:
    return TrainingPhase(TRAIN, steps)


class Linear(nn.Module):
    """Without batch normalisation or dropout, so that shares of a batch add up to the whole."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(32 * 32, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layer(pictures.flatten(1))


@pytest.mark.parametrize("classes", [2, 3])
def test_learns_how_stripes_run_and_says_so_of_new_ones(classes: int):
    pictures, advanced = stripes(classes), []
    found = train_classifier(pictures, [phase(30)], CONFIG, OneFinding(classes), 0, advanced.append)
    shares = predict_probabilities(found.network, pictures.pixels, TEST, CONFIG, OneFinding(classes))
    assert shares.shape == (32, classes) and shares.dtype == np.float32
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares.argmax(axis=1) == pictures.targets[TEST]).mean() > 0.9
    assert [point.step for point in found.curve] == [10, 20, 30] and len(advanced) == 30
    assert [point for point in advanced if point] == found.curve
    assert found.curve[-1].loss < found.curve[0].loss


def test_the_seed_alone_decides_the_curve():
    curves, states = [], []
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002
        state = torch.random.get_rng_state()
        curves.append(train_classifier(stripes(), [phase(6)], CONFIG, OneFinding(2), seed).curve)
        states.append(torch.equal(torch.random.get_rng_state(), state))
    assert curves[0] == curves[1] != curves[2] and all(states)


@pytest.mark.slow
def test_the_seed_decides_dropout_too():
    config = changed(network="densenet121", pretrained=False, batch=4, epochs=1)
    curves = [train_classifier(stripes(), [phase(2)], config, OneFinding(2), 5).curve for _ in range(2)]
    assert curves[0] == curves[1]


def test_the_network_is_as_it_was_at_its_best_point():
    pictures = stripes()
    found = train_classifier(pictures, [phase(12)], changed(epochs=12), OneFinding(2), 1)
    assert len(found.curve) == 12 and found.best == best_point(found.curve)
    again = loop.measure_point(found.network, pictures, CONFIG, OneFinding(2), 0, 0.0)
    chosen = found.curve[found.best]
    assert (again.auroc, again.accuracy) == (chosen.auroc, chosen.accuracy)


def test_of_equal_points_the_lower_loss_wins_then_the_earlier():
    told = [(0.5, 0.7), (0.2, 0.9), (0.1, 0.9), (0.1, 0.9)]
    curve = [ValidationPoint(step, loss, auroc, 0.5) for step, (loss, auroc) in enumerate(told, start=1)]
    assert best_point(curve) == 2 and best_point(curve, after=3) == 3 and best_point(curve[:2]) == 1


def test_the_best_point_is_one_of_the_last_phase(monkeypatch):
    """Validation falls all the time, so the best point is the first one after the phases changed."""
    monkeypatch.setattr(loop, "measure_point", lambda *seen: ValidationPoint(seen[4], seen[5], 1 / seen[4], 0.5))
    found = train_classifier(stripes(), [phase(7), TrainingPhase(TRAIN[:30], 5)], changed(epochs=4), OneFinding(2), 0)
    assert [point.step for point in found.curve] == [3, 6, 9, 12] and found.best == 2


def test_each_phase_begins_at_the_full_rate_and_ends_at_none(monkeypatch):
    rates = []

    class Watched(torch.optim.AdamW):
        def step(self, *words):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*words)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    train_classifier(stripes(), [phase(4), phase(2)], CONFIG, OneFinding(2), 0)
    cosine = [(1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
    assert rates == pytest.approx([3e-3 * share for share in (*cosine, 1, 0.5)])


def test_validations_are_spread_evenly_and_the_last_step_is_one():
    assert validation_steps(10, 4) == {2, 5, 7, 10} and validation_steps(3, 20) == {1, 2, 3}


def test_batches_go_on_across_passes_and_leave_no_picture_out():
    rows = np.array([3, 5, 5, 8, 9])  # 5 counts twice
    drawn = [batch for batch, _ in draw_batches(TrainingPhase(rows, 5), 3, np.random.default_rng(0))]
    assert all(len(batch) == 3 for batch in drawn)
    passes = np.concatenate(drawn).reshape(3, 5)
    assert (np.sort(passes) == rows).all() and not (passes[0] == passes[1]).all()


def test_the_test_part_is_noted_and_changes_nothing():
    pictures = stripes()
    watched = LabelledImages(pictures.pixels, pictures.targets, VALIDATION, TEST)
    plain, noted = (train_classifier(each, [phase(6)], CONFIG, OneFinding(2), 0) for each in (pictures, watched))
    assert all(point.test_auroc is None for point in plain.curve)
    assert all(0 <= point.test_auroc <= 1 for point in noted.curve)
    assert [(point.loss, point.auroc) for point in plain.curve] == [(point.loss, point.auroc) for point in noted.curve]


def test_bf16_follows_full_precision():
    found = [
        train_classifier(stripes(), [phase(3)], changed(precision=name), OneFinding(2), 0) for name in ("fp32", "bf16")
    ]
    curves = [each.curve for each in found]
    assert curves[0] != curves[1]
    assert save(found[1].network.state_dict())
    assert [point.loss for point in curves[1]] == pytest.approx([point.loss for point in curves[0]], rel=0.05)


@pytest.mark.parametrize("size", [2, 3])
def test_shares_of_a_batch_add_up_to_the_whole(size: int):
    pictures, (rows, chances) = stripes(), next(draw_batches(phase(), 16, np.random.default_rng(0)))
    slots = [Ranks(number, size).slots(16, 0) for number in range(size)]
    sums = []
    for shares in ([slice(0, 16)], [slice(share.start, share.stop) for share in slots]):
        with loop.seed_torch(0):
            model = Linear(2)
        losses = [
            loop.backpropagate(model, pictures, rows[mine], chances[mine], CONFIG, OneFinding(2)).item()
            for mine in shares
        ]
        sums.append((sum(losses), model.layer.weight.grad))
    assert sums[0][0] == pytest.approx(sums[1][0], rel=1e-5)
    torch.testing.assert_close(sums[0][1], sums[1][1], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(tmp_path: Path, monkeypatch):
    mp.spawn(worker, (tmp_path,), nprocs=2)
    monkeypatch.setattr(loop, "build_classifier", lambda config, classes, features: Linear(classes))
    whole = train_classifier(stripes(), [phase(9)], CONFIG, OneFinding(2), 0).curve
    curves, normed = zip(*(torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)), strict=True)
    assert curves[0] == curves[1] and normed[0] == normed[1]
    assert [point.loss for point in curves[0]] == pytest.approx([point.loss for point in whole], rel=1e-4)
    assert [point.auroc for point in curves[0]] == pytest.approx([point.auroc for point in whole], abs=0.01)
    assert normed[0][-1].auroc > 0.9


def worker(rank: int, folder: Path) -> None:
    """Trains a network without batch normalisation, then one with it."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    normed = train_classifier(stripes(), [phase(18)], CONFIG, OneFinding(2), 0, ranks=Ranks.here()).curve
    loop.build_classifier = lambda config, classes, features: Linear(classes)
    curve = train_classifier(stripes(), [phase(9)], CONFIG, OneFinding(2), 0, ranks=Ranks.here()).curve
    torch.save((curve, normed), folder / f"{rank}.pt")


def test_a_loss_that_is_no_number_is_told_with_its_step(monkeypatch):
    real, count = loop.backpropagate, iter(range(100))

    def spoiled(*words):
        return real(*words) * (torch.nan if next(count) >= 8 else 1)

    monkeypatch.setattr(loop, "backpropagate", spoiled)
    with pytest.raises(BadInput, match=r"step 9: the loss is not a number.*--learning-rate"):
        train_classifier(stripes(), [phase()], CONFIG, OneFinding(2), 0)


def test_a_network_that_says_no_number_is_told_too(monkeypatch):
    monkeypatch.setattr(loop, "predict_probabilities", lambda *seen: np.full((32, 2), np.nan))
    with pytest.raises(BadInput, match="step 6: the network's output is not a number"):
        train_classifier(stripes(), [phase()], CONFIG, OneFinding(2), 0)


def test_a_validation_part_without_a_class_is_refused():
    with pytest.raises(BadInput, match="shows no picture of class 2"):
        train_classifier(stripes(), [phase()], CONFIG, OneFinding(3), 0)


def test_a_batch_that_is_too_small_for_the_workers_is_refused():
    with pytest.raises(BadInput, match="--batch 16 is too small for 17 workers"):
        train_classifier(stripes(), [phase()], CONFIG, OneFinding(2), 0, ranks=Ranks(0, 17))
