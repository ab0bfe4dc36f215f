"""How well class probabilities fit what pictures show."""

import numpy as np
from sklearn.metrics import multilabel_confusion_matrix, roc_auc_score

BINS = 15


def score_predictions(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The figures of one trial, named as `cxr.study.results.METRICS`.

    Of two classes the last is the positive one; of more, figures are means over each against the others. But for the
    AUROC a picture counts as the class of the highest probability.

    Args:
        probabilities: float [N, C].
        labels: class numbers int [N]; every class is there.
    """
    predicted, numbers = probabilities.argmax(axis=1), range(probabilities.shape[1])
    counts = multilabel_confusion_matrix(labels, predicted, labels=numbers)[-1 if len(numbers) == 2 else slice(None)]
    (true_negatives, false_positives), (false_negatives, true_positives) = np.moveaxis(counts, (-2, -1), (0, 1))
    return {
        "auroc": auroc(probabilities, labels),
        "accuracy": float((predicted == labels).mean()),
        "f1": float(np.mean(2 * true_positives / (2 * true_positives + false_positives + false_negatives))),
        "sensitivity": float(np.mean(true_positives / (true_positives + false_negatives))),
        "specificity": float(np.mean(true_negatives / (true_negatives + false_positives))),
        "calibration_error": calibration_error(probabilities, labels),
    }


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Of two classes that of the last; of more, the mean of each against the others."""
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    one_hot = labels[:, None] == np.arange(probabilities.shape[1])
    return float(roc_auc_score(one_hot, probabilities, average="macro"))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of the named class, in 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599)."""
    sure, right = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1) == labels
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, sure - right)).sum() / len(labels))
