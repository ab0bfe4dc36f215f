"""Inception Score (Salimans et al. 2016, arXiv:1606.03498): sure of each picture's class, and many classes."""

import numpy as np


def inception_score(probabilities: np.ndarray) -> float:
    """Of class probabilities [N, classes]: from 1 to the number of classes, higher is better.

    Over all pictures at once, where the paper takes ten parts: parts of 100 pictures or so score too low. It sees no
    real picture, so only that of real pictures says what is high; photographs' classes say little about X-rays.
    """
    p = np.maximum(probabilities.astype(float), np.finfo(float).tiny)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(axis=0)))).sum(axis=1).mean()))
