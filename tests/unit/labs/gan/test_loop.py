"""Training goes where it should, the same way each time, and ends where it is no training any more."""

import pytest
import torch

from cxr.errors import BadInput
from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.loop import Trainer, train
from cxr.labs.gan.networks import sample


@pytest.fixture
def trainer(real):
    def make(**fields) -> Trainer:
        pixels, classes = real.part("train")
        return Trainer(GanConfig(**{"noise_dim": 4, "width": 8, "batch_size": 8, **fields}), pixels, classes, 2)

    return make


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [value for part in trainer.parts.values() for value in part.state_dict().values()]


def test_the_discriminator_learns_and_the_generator_darkens(trainer, real) -> None:
    ours = trainer(learning_rate=2e-3)
    labels = real.labels[:16]
    before = sample(ours.generator, range(16), labels, 0).mean()
    figures = [ours.epoch() for _ in range(20)]
    after = sample(ours.generator, range(16), labels, 0).mean()
    assert [f["epoch"] for f in figures] == [*range(1, 21)]
    assert max(f["real_accuracy"] for f in figures) > 0.8
    true = real.part("train")[0].mean()
    assert abs(after - true) < abs(before - true) / 2


def test_the_same_recipe_trains_the_same_and_another_seed_another(trainer) -> None:
    first, second, other = trainer(), trainer(), trainer(seed=1)
    state = torch.random.get_rng_state()
    told = [ours.epoch() for ours in (first, second, other)]
    assert told[0] == told[1] != told[2]
    assert all(torch.equal(*pair) for pair in zip(weights(first), weights(second), strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_conditional_training_tells_both_networks_the_class(trainer) -> None:
    ours = trainer(conditional=True)
    assert ours.generator.layers[0].in_channels == 4 + 2 and ours.discriminator.layers[0].in_channels == 1 + 2
    assert ours.epoch()["epoch"] == 1


def test_a_checkpoint_comes_every_so_many_epochs_and_after_the_last(trainer) -> None:
    ours, kept = trainer(epochs=5, checkpoint_every=2), []
    train(ours, lambda figures: None, lambda: kept.append(ours.done))
    train(ours, lambda figures: pytest.fail("it had finished"), lambda: pytest.fail("it had finished"))
    assert kept == [2, 4, 5]


def test_a_loss_that_is_no_number_ends_the_training(trainer) -> None:
    ours = trainer()
    ours.epoch()
    ours.generator.layers[0].weight.data[0] = float("nan")
    with pytest.raises(BadInput, match=r"epoch 2: a loss is not a number any more; lower --learning-rate"):
        ours.epoch()


def test_a_batch_larger_than_the_train_part_is_refused(trainer) -> None:
    with pytest.raises(BadInput, match="--batch-size 49: more than the 48 pictures"):
        trainer(batch_size=49)
