"""LeNet-5 learns, and is left as it was where it named most of the validation part."""

from cxr.labs.gan import lenet as stage
from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.lenet import accuracy, fit_lenet, predict

CONFIG = GanConfig(lenet_epochs=8, lenet_batch_size=16, lenet_learning_rate=5e-3)


def test_it_learns_bars(real) -> None:
    told = []
    lenet = fit_lenet(real, CONFIG, told.append)
    assert accuracy(lenet, *real.part("test")) > 0.9
    assert len(told) == 8 and told[-1]["validation_accuracy"] > 0.9
    assert predict(lenet, real.pixels).sum(axis=1).round(4).tolist() == [1] * len(real.pixels)


def test_the_best_epoch_is_kept(real, monkeypatch) -> None:
    """The second epoch is told to be the best one: its network is what a run of that length leaves at its end."""
    said, kept = iter([0.5, 0.9, 0.6, 0.9 - 1e-6]), []

    def told(network, *part) -> float:
        kept.append(predict(network, real.pixels[:4]))
        return next(said)

    monkeypatch.setattr(stage, "accuracy", told)
    lenet = fit_lenet(real, CONFIG.model_copy(update={"lenet_epochs": 4}), lambda figures: None)
    assert (predict(lenet, real.pixels[:4]) == kept[1]).all() and (kept[3] != kept[1]).any()
