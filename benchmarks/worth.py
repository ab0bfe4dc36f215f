"""Claim: new real pictures are worth 1.0 real ones, copies of training pictures 0, pictures with shuffled labels less.

Whole studies on phantoms with ground-glass opacities or without, at 32 px and in much noise, so that more pictures
help, each study with other training and test pictures. The small CNN is trained on 10, 25, 50 and 100 % of the real
phantoms alone, and on 25 and 50 % with as many others; which part it is changes with the seed. Each arm is read off the
learning curve of its study, as `cxr study worth` reads its arms.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from _side_by_side import verdict
from scipy import stats

from cxr.classify.config import ClassifyConfig
from cxr.embedded.phantoms import draw_phantom
from cxr.ranks import Ranks
from cxr.store import open_store
from cxr.study.learning_results import LearningCurve, Worth
from cxr.study.results import TestSet, Trial
from cxr.study.trial import TrialSpec, TrialWorker
from cxr.study.worth import Mix, learn, measure_auroc
from cxr.study.worth_words import describe_worth

STUDIES = 6
SHOWN, NOISE = {"ground_glass": 0.5}, 40  # gray levels, a standard deviation
SIZES, BESIDE = (40, 100, 200, 400), (100, 200)
VALIDATION, TEST = 200, 800
PX = 32
SEEDS = (42, 123, 456, 789, 1011)
CLASSIFIER = ClassifyConfig(
    network="cnn", pretrained=False, resize=PX, size=PX, epochs=12, batch=32, learning_rate=2e-3, rotation=0,
    crop_scale=(1, 1),
)  # fmt: skip
TRUE = {"new": 1.0, "copies": 0.0, "shuffled": None}  # None: below 0


@dataclass(frozen=True)
class Pictures:
    """Of one study, in this order: SIZES[-1] to train on, as many new ones, validation, test."""

    pixels: np.ndarray
    labels: np.ndarray

    @classmethod
    def draw(cls, seed: int) -> "Pictures":
        """A patient each."""
        count = 2 * SIZES[-1] + VALIDATION + TEST
        drawn = [draw_phantom(seed, number, SHOWN, PX, views_per_patient=1) for number in range(count)]
        labels = np.array([len(one.attributes.findings) for one in drawn])
        noise = np.random.default_rng(seed).normal(0, NOISE, (count, PX, PX))
        return cls(np.clip(np.stack([one.pixels for one in drawn]) + noise, 0, 255).astype(np.uint8), labels)


def main(studies: int) -> None:
    torch.set_num_threads(1)
    found: dict[str, list[tuple[Worth, LearningCurve]]] = {kind: [] for kind in TRUE}
    for seed in range(studies):
        curve = run_study(seed)
        print(f"study {seed}", *describe_worth(curve), sep="\n  ", flush=True)
        for one in curve.readings:
            found[one.arm.split("_")[0]].append((one, curve))
    right = {kind: sum(holds(one, curve, TRUE[kind]) for one, curve in read) for kind, read in found.items()}
    for kind, read in found.items():
        below, above = (sum(holds_all(one, curve, side) for one, curve in read) for side in (-1, 1))
        middle = np.median([one.worth for one, _ in read])
        print(f"{kind}: worth {middle:.2f} (median of {len(read)}); interval below 0 in {below}, above 0 in {above}")
    enough = {kind: stats.binom.ppf(0.05, len(read), 0.95) for kind, read in found.items()}
    verdict(
        all(right[kind] >= enough[kind] for kind in TRUE),
        ", ".join(f"{kind} {right[kind]} of {len(read)}" for kind, read in found.items()),
    )


def run_study(seed: int) -> LearningCurve:
    pictures = Pictures.draw(seed)
    first = 2 * SIZES[-1]
    validation, test = np.arange(first, first + VALIDATION), np.arange(first + VALIDATION, len(pictures.labels))
    worker = TrialWorker(
        open_store("unused"), "", TrialSpec("", 0, [], 0, 0), 2, validation, test, CLASSIFIER, "youden", False, 1
    )
    trials = [train(worker, spec, pictures) for spec in trial_specs()]
    ids = [f"{row}" for row in test]
    measured = measure_auroc(trials, TestSet(ids, pictures.labels[test].tolist(), ids, {}))
    mixes = [Mix(f"{kind}_{real}", real, real, measured[f"{kind}_{real}"]) for kind in TRUE for real in BESIDE]
    curve = learn({size: measured[f"real_{size}"] for size in SIZES}, mixes, np.random.default_rng(0))
    assert curve is not None
    return curve


def trial_specs() -> Iterator[TrialSpec]:
    """All for as many steps."""
    steps, most = CLASSIFIER.steps(SIZES[-1]), SIZES[-1]
    for seed in SEEDS:
        drawn, new = (np.random.default_rng([seed, part]).permutation(most) + part * most for part in (0, 1))
        for size in SIZES:
            yield TrialSpec(f"real_{size}", seed, [(drawn[:size], steps)], size, 0)
        for size in BESIDE:
            real = drawn[:size]
            for kind, others in {"new": new[:size], "copies": real, "shuffled": new[:size]}.items():
                rows = np.concatenate([real, others])
                shuffled = others if kind == "shuffled" else None
                yield TrialSpec(f"{kind}_{size}", seed, [(rows, steps)], size, size, shuffled)


def train(worker: TrialWorker, spec: TrialSpec, pictures: Pictures) -> Trial:
    return replace(worker, spec=spec).train(lambda news: None, pictures.pixels, pictures.labels, Ranks())


def holds(one: Worth, curve: LearningCurve, truth: float | None) -> bool:
    """Whether the interval holds the truth; of one that is below 0, whether what is read is."""
    low, high = bounds(one, curve)
    return one.worth < 0 if truth is None else bool(low <= truth <= high)


def holds_all(one: Worth, curve: LearningCurve, side: int) -> bool:
    """Whether the whole interval lies below 0 (-1) or above it (1)."""
    low, high = bounds(one, curve)
    return bool(high < 0) if side < 0 else bool(low > 0)


def bounds(one: Worth, curve: LearningCurve) -> tuple[float, float]:
    """Of the interval, without end where it leaves the curve."""
    low = -np.inf if curve.beyond(one.equivalent_low) < 0 else one.low
    return low, np.inf if curve.beyond(one.equivalent_high) > 0 else one.high


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES)
