"""Claim: new real pictures are worth 1.0 real ones, copies of training pictures 0, pictures with shuffled labels less.

Whole studies on phantoms with ground-glass opacities or without, at 32 px and in much noise, so that more pictures
help, each study with other training and test pictures. The small CNN is trained on 10, 25, 50 and 100 % of the real
phantoms alone, and on 25 and 50 % with as many others; which part it is changes with the seed. Each arm is read off the
learning curve of its study, as `cxr study worth` reads its arms. `--synthetic SET`, of the findings clear and
ground_glass, has a generator's pictures read beside these, of whose worth nothing is known before.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from _side_by_side import verdict
from scipy import stats

from cxr.classify.config import ClassifyConfig
from cxr.data.catalog import CatalogSet, read_images, read_set
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
PHANTOMS = 2 * SIZES[-1] + VALIDATION + TEST
PX = 32
SEEDS = (42, 123, 456, 789, 1011)
CLASSIFIER = ClassifyConfig(
    network="cnn", pretrained=False, resize=PX, size=PX, epochs=12, batch=32, learning_rate=2e-3, rotation=0,
    crop_scale=(1, 1),
)  # fmt: skip
TRUE = {"new": 1.0, "copies": 0.0, "shuffled": None}  # None: below 0
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Pictures:
    """Of one study, in this order: SIZES[-1] to train on, as many new ones, validation, test, synthetic ones."""

    pixels: np.ndarray
    labels: np.ndarray

    @classmethod
    def draw(cls, seed: int, synthetic: CatalogSet | None) -> "Pictures":
        """A patient each; the same noise is on synthetic ones, which are the same in each study."""
        drawn = [draw_phantom(seed, number, SHOWN, PX, views_per_patient=1) for number in range(PHANTOMS)]
        labels = np.array([len(one.attributes.findings) for one in drawn])
        pixels = np.stack([one.pixels for one in drawn])
        if synthetic:
            pixels = np.concatenate([pixels, read_images(synthetic.store, synthetic.table, PX)])
            labels = np.concatenate([labels, pc.is_in(synthetic.table["finding"], pa.array([*SHOWN])).to_numpy()])
        noise = np.random.default_rng(seed).normal(0, NOISE, pixels.shape)
        return cls(np.clip(pixels + noise, 0, 255).astype(np.uint8), labels)

    @property
    def synthetic(self) -> int:
        return len(self.labels) - PHANTOMS


def main(studies: int, place: str | None) -> None:
    torch.set_num_threads(1)
    synthetic = read_set(open_store(place)) if place else None
    found: dict[str, list[tuple[Worth, LearningCurve]]] = {kind: [] for kind in [*TRUE, *[SYNTHETIC] * bool(place)]}
    for seed in range(studies):
        curve = run_study(Pictures.draw(seed, synthetic), seed)
        print(f"study {seed}", *describe_worth(curve), sep="\n  ", flush=True)
        for one in curve.readings:
            found[one.arm.split("_")[0]].append((one, curve))
    right = {kind: sum(holds(one, curve, TRUE[kind]) for one, curve in found[kind]) for kind in TRUE}
    for kind, read in found.items():
        below, above = (sum(holds_all(one, curve, side) for one, curve in read) for side in (-1, 1))
        least, middle, most = np.quantile([one.worth for one, _ in read] or [np.nan], [0, 0.5, 1])
        print(
            f"{kind}: worth {middle:.2f} (median of {len(read)}, {least:.2f} to {most:.2f}); interval below 0 in "
            f"{below}, above 0 in {above}"
        )
    enough = {kind: stats.binom.ppf(0.05, len(found[kind]), 0.95) for kind in TRUE}
    verdict(
        all(right[kind] >= enough[kind] for kind in TRUE),
        ", ".join(f"{kind} {right[kind]} of {len(found[kind])}" for kind in TRUE),
    )


def run_study(pictures: Pictures, seed: int) -> LearningCurve:
    """Args:
    seed: of which synthetic pictures are drawn; the study's.
    """
    first = 2 * SIZES[-1]
    validation, test = np.arange(first, first + VALIDATION), np.arange(first + VALIDATION, PHANTOMS)
    worker = TrialWorker(
        open_store("unused"), "", TrialSpec("", 0, [], 0, 0), 2, validation, test, CLASSIFIER, "youden", False, 1
    )
    trials = [train(worker, spec, pictures) for spec in trial_specs(pictures, seed)]
    ids = [f"{row}" for row in test]
    measured = measure_auroc(trials, TestSet(ids, pictures.labels[test].tolist(), ids, {}))
    kinds = [*TRUE, *[SYNTHETIC] * bool(pictures.synthetic)]
    mixes = [Mix(f"{kind}_{real}", real, real, measured[f"{kind}_{real}"]) for kind in kinds for real in BESIDE]
    curve = learn({size: measured[f"real_{size}"] for size in SIZES}, mixes, np.random.default_rng(0))
    assert curve is not None
    return curve


def trial_specs(pictures: Pictures, study: int) -> Iterator[TrialSpec]:
    """All for as many steps; with each seed other real, new and synthetic ones."""
    steps, most = CLASSIFIER.steps(SIZES[-1]), SIZES[-1]
    for seed in SEEDS:
        drawn, new = (np.random.default_rng([seed, part]).permutation(most) + part * most for part in (0, 1))
        made = PHANTOMS + np.random.default_rng([seed, study, 2]).permutation(pictures.synthetic)
        for size in SIZES:
            yield TrialSpec(f"real_{size}", seed, [(drawn[:size], steps)], size, 0)
        for size in BESIDE:
            real = drawn[:size]
            kinds = {"new": new[:size], "copies": real, "shuffled": new[:size]}
            if pictures.synthetic:
                kinds[SYNTHETIC] = made[:size]
            for kind, others in kinds.items():
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--synthetic")
    args = parser.parse_args()
    main(args.studies, args.synthetic)
