"""What is learned of several findings a picture, and what an unknown label does."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cxr.classify import best_of
from cxr.classify.best_of import train_best_of
from cxr.classify.metrics import binary_auroc
from cxr.classify.task import OneFinding, SeveralFindings, task_of
from cxr.errors import BadInput

NAN = float("nan")


def bars(count: int, seed: int, doubtful: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A bright bar on the left and one on the right, each with chance 1/2, and labels float32 [N, 2]."""
    rng = np.random.default_rng(seed)
    pixels, labels = rng.integers(0, 90, (count, 32, 32), dtype=np.uint8), rng.integers(2, size=(count, 2))
    for picture, shown in zip(pixels, labels, strict=True):
        for side in np.flatnonzero(shown):
            picture[:, 20 * side : 20 * side + 10] += 100
    return pixels, np.where(rng.random(labels.shape) < doubtful, np.nan, labels).astype(np.float32)


@pytest.mark.parametrize("doubtful", [pytest.param(0.0, marks=pytest.mark.slow), 0.4])
def test_each_finding_is_learned_whatever_else_a_picture_shows(doubtful: float, monkeypatch):
    monkeypatch.setattr(best_of, "TRIES", 1)
    predict = train_best_of(bars(96, 0, doubtful), bars(30, 1), SeveralFindings(2), 7)
    pixels, labels = bars(60, 2)
    for side in (0, 1):
        for other in (0, 1):
            rows = labels[:, 1 - side] == other
            assert binary_auroc(predict(pixels)[rows, side], labels[rows, side]) > 0.9


def test_an_unknown_label_gives_no_gradient_and_changes_no_other():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[1, 0, 1], [0, NAN, 1], [1, 0, NAN], [NAN, NAN, NAN]])
    SeveralFindings(3).loss(logits, labels).backward()
    known = ~labels.isnan()
    assert (logits.grad[~known] == 0).all()
    expected = (logits.sigmoid() - labels)[known] / 3
    torch.testing.assert_close(logits.grad[known], expected.detach())


def test_metrics_are_means_over_findings_and_leave_out_what_is_unknown():
    labels = np.array([[1, 0], [0, NAN], [1, 0], [0, 1]], np.float32)
    shares = np.array([[0.9, 0.2], [0.3, 0.9], [0.2, 0.6], [0.1, 0.4]], np.float32)
    task = task_of(2, exclusive=False)
    expected = (roc_auc_score(labels[:, 0], shares[:, 0]) + roc_auc_score([0, 0, 1], [0.2, 0.6, 0.4])) / 2
    assert task.auroc(shares, labels) == pytest.approx(expected)
    assert task.accuracy(shares, labels) == pytest.approx(4 / 7)
    only = np.concatenate([labels, np.ones((4, 1), np.float32)], axis=1)
    assert task.auroc(np.concatenate([shares, shares[:, :1]], axis=1), only) == pytest.approx(expected)


def test_of_findings_that_exclude_each_other_the_targets_are_their_numbers():
    task = task_of(3, exclusive=True)
    assert task == OneFinding(3) and task.targets(np.eye(3, dtype=np.float32)[[2, 0]]).tolist() == [2, 0]


def test_a_validation_part_that_cannot_choose_is_refused():
    with pytest.raises(BadInput, match="no finding that is present in some pictures and absent in others"):
        SeveralFindings(2).check_validation(np.array([[1, NAN], [1, 0]], np.float32))
