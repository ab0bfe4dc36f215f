"""A study that nobody made: drawn at random by code, of the form of a real one, to show pages and figures with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cxr.artifact.quality import Quality
from cxr.prompts.findings import FINDINGS
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.learning_results import LearningCurve, Worth
from cxr.study.results import (
    METRICS,
    ArmResult,
    ClassMetrics,
    Difference,
    Source,
    Spread,
    Study,
    Subgroup,
    ValidationPoint,
)

TWO = ("NORMAL", "PNEUMONIA")
TEN = tuple(FINDINGS)
REAL, TEST = 1200, 360  # pictures
GAIN = {"synth_100": 0.02, "limited_10": -0.05, "limited_10_real": -0.11, "limited_25_real": -0.05, "synth_only": -0.12}


def sample_study(classes: Sequence[str] = TWO, seeds: Sequence[int] = (42, 123, 456), phantom: bool = False) -> Study:
    """All arms of the guide and its controls."""
    rng, config = np.random.default_rng(0), StudyConfig()
    each = dict.fromkeys(classes, REAL // len(classes))
    return Study(
        answer="No detectable difference: a sample, drawn at random, that would have found a difference in AUROC of "
        "0.026 or more between real pictures alone and any mix with synthetic ones.",
        phantom=phantom,
        classes=list(classes),
        baseline=BASELINE,
        budget="steps",
        arms=[sample_arm(arm, classes, seeds, rng) for arm in config.arms],
        train=each,
        validation={name: count // 8 for name, count in each.items()},
        test={name: TEST // len(classes) for name in classes},
        test_patients=241,
        settings={
            "network": "DenseNet-121 with ImageNet weights, head 1024-512-2 with ReLU and dropout 0.3",
            "optimiser": "AdamW, learning rate 0.0001, weight decay 0.01, cosine; batch 64, 20 epochs of the baseline",
            "augmentation": "resize 256, random resized crop 224 (0.8 to 1), flip, rotation 10 degrees, jitter 0.1",
            "seeds": ", ".join(map(str, seeds)),
        },
        sources=[
            Source("real", "s3://bucket/xrays", "set", "a1" * 32, 1710),
            Source("synthetic", "out/synthetic", "generated", "b2" * 32, 2400),
            Source("evaluation", "out/quality", "evaluation", "c3" * 32, 4110),
        ],
        details=["A sentence beneath it.", "Another one."],
        primary=config.primary,
        allowed=["a synthetic set that no evaluation has cleared of copies"],
        notes=["sex is not given for 12 pictures, which no subgroup holds"],
    )


def sample_arm(arm: Arm, classes: Sequence[str], seeds: Sequence[int], rng: np.random.Generator) -> ArmResult:
    real, synthetic = round(REAL * arm.real / 100), round(REAL * arm.synthetic / 100)
    centre = 0.9 + GAIN.get(arm.name, 0.0) + rng.normal(0, 0.004)
    middle = {name: centre - 0.02 * number for number, name in enumerate(METRICS[:-1])} | {METRICS[-1]: 0.06}
    spread = {name: spread_around(value, seeds, rng) for name, value in middle.items()}
    pairs = [] if arm.name == BASELINE else [(BASELINE, GAIN.get(arm.name, 0.0))]
    pairs += [(arm.control, 0.05)] if arm.control else []
    rates = np.linspace(0, 1, 101)
    curves = {seed: curve(centre, rng) for seed in seeds}
    return ArmResult(
        arm=arm.name,
        label=titled(arm),
        control=arm.control,
        real=real,
        synthetic=synthetic,
        seeds=list(seeds),
        failed=[],
        metrics=spread,
        differences=[
            difference(other, metric, gain + rng.normal(0, 0.003), seeds)
            for other, gain in pairs
            for metric in ("auroc", "accuracy")
        ],
        classes=[class_figures(name, centre, TEST // len(classes), seeds, rng) for name in classes],
        confusion=confusion(len(classes), centre, len(seeds), rng),
        roc=np.stack([rates, rates ** ((1 - centre) / centre)], axis=1).tolist(),
        curves=curves,
        best={seed: int(np.argmax([point.auroc for point in points])) for seed, points in curves.items()},
        selection_bias=None,
        subgroups=subgroups(centre, seeds, rng),
        hours=len(seeds) * (0.4 + rng.uniform(0, 0.05)),
        device="NVIDIA H100",
    )


def titled(arm: Arm) -> str:
    parts = [f"{arm.real:g} % real" + (" twice" if arm.repeat == 2 else "")] if arm.real else []
    parts += [f"{arm.synthetic:g} % synthetic" + (" first" if arm.order == "synthetic_first" else "")] * (
        arm.synthetic > 0
    )
    parts += ["with shuffled labels"] * arm.shuffled + [f"{arm.steps:g} % of the steps"] * (arm.steps < 100)
    return " + ".join(parts)


def spread_around(value: float, seeds: Sequence[int], rng: np.random.Generator) -> Spread:
    wide = rng.uniform(0.012, 0.03)
    return Spread(value, wide / 3 if len(seeds) > 1 else None, value - wide, min(1.0, value + wide))


def difference(against: str, metric: str, mean: float, seeds: Sequence[int]) -> Difference:
    p = float(np.exp(-abs(mean) * 180))
    several, roc = len(seeds) > 1, metric == "auroc"
    return Difference(
        against=against, metric=metric, mean=mean, low=mean - 0.018, high=mean + 0.018, p=p, p_holm=min(1.0, 1.5 * p),
        welch_p=p if several else None, welch_holm=min(1.0, 2 * p) if several else None,
        delong_p=p if roc else None, delong_holm=min(1.0, 2 * p) if roc else None,
        bootstrap_low=mean - 0.017 if roc else None, bootstrap_high=mean + 0.019 if roc else None, detectable=0.026,
    )  # fmt: skip


def curve(centre: float, rng: np.random.Generator) -> list[ValidationPoint]:
    steps = np.arange(1, 21)
    aurocs = centre - 0.3 * np.exp(-steps / 3) + rng.normal(0, 0.006, 20)
    losses = 0.7 * np.exp(-steps / 8)
    figures = zip((19 * steps).tolist(), losses.tolist(), aurocs.tolist(), strict=True)
    return [ValidationPoint(step, loss, auroc, auroc - 0.05) for step, loss, auroc in figures]


def class_figures(
    name: str, centre: float, pictures: int, seeds: Sequence[int], rng: np.random.Generator
) -> ClassMetrics:
    return ClassMetrics(name, pictures, *(spread_around(centre - 0.02 * n, seeds, rng) for n in range(5)))


def confusion(classes: int, right: float, seeds: int, rng: np.random.Generator) -> list[list[int]]:
    wrong = np.full((classes, classes), (1 - right) / max(1, classes - 1))
    np.fill_diagonal(wrong, right)
    return [rng.multinomial(seeds * TEST // classes, row / row.sum()).tolist() for row in wrong]


def subgroups(centre: float, seeds: Sequence[int], rng: np.random.Generator) -> list[Subgroup]:
    named = [("view", "AP", 160), ("view", "PA", 200), ("sex", "F", 170), ("sex", "M", 178), ("age", "90-99", 4)]
    return [
        Subgroup(
            attribute, value, count, count * 2 // 3, spread_around(centre, seeds, rng) if count > 10 else None,
            spread_around(centre - 0.04, seeds, rng),
        )
        for attribute, value, count in named
    ]  # fmt: skip


def optimistic(study: Study) -> Study:
    """The same with the score of the epoch that is best on the test set, and with a learning curve."""
    arms = [replace(arm, selection_bias=Spread(0.011, 0.004, 0.002, 0.02)) for arm in study.arms]
    return replace(study, arms=arms, learning=sample_curve())


def sample_curve() -> LearningCurve:
    """0.93 - 0.9 n^-0.5: an arm within it, one whose interval has no end, and one that hurts."""
    sizes, grid = [120, 300, 600, 1200], np.geomspace(60, 2400, 40)
    aurocs = 0.93 - 0.9 * grid**-0.5
    return LearningCurve(
        "power", 0.4, sizes, [0.93 - 0.9 * size**-0.5 for size in sizes], [0.056, 0.04, 0.07], [60.0, 2400.0],
        np.stack([grid, aurocs, aurocs - 0.01, aurocs + 0.01], axis=1).tolist(),
        [
            Worth("synth_50", 600, 600, 0.8987, 830.0, 640.0, 1010.0, 230 / 600, 40 / 600, 410 / 600),
            Worth("synth_100", 1200, 1200, 0.907, 1530.0, 900.0, 2400.0, 0.275, -0.25, 1.0),
            Worth("synth_only", 0, 1200, 0.84, 100.0, 60.0, 140.0, 100 / 1200, 60 / 1200, 140 / 1200),
        ],
    )  # fmt: skip


def unfinished(study: Study) -> Study:
    """The same with an arm of which no trial ended well, and one that lost a seed."""
    lost, hurt, *others = study.arms[1:]
    nothing = replace(
        lost, seeds=[], failed=lost.seeds, metrics={}, differences=[], classes=[], confusion=[], roc=[], curves={},
        best={}, subgroups=[], hours=0.0,
    )  # fmt: skip
    return replace(
        study, arms=[study.arms[0], nothing, replace(hurt, seeds=hurt.seeds[:-1], failed=hurt.seeds[-1:]), *others]
    )


def read_sample_quality(extractor: str = "tiny") -> Quality:
    return Quality.model_validate(sample_quality(extractor))


def sample_quality(extractor: str = "tiny", **entries: Any) -> dict:
    """What `quality.json` of an evaluation holds, of it what others read."""
    agree = {"share": 0.862, "low": 0.829, "high": 0.891, "count": 431, "total": 500}
    side = {"agree": agree, "findings": {}, "counts": []}
    held_out = {"share": 0.012, "low": 0.004, "high": 0.027, "count": 6, "total": 510}
    figures = {
        name: {
            "interval": {"value": value, "corrected": value, "low": 0.9 * value, "high": 1.1 * value},
            "floor": {"value": value / 8, "low": value / 10, "high": value / 6, "synthetic": 1.2 * value},
            "infinite": None,
        }
        for name, value in {"frechet_distance": 26.2, "kernel_distance": 0.0123, "coverage": 0.61}.items()
    }
    return {
        "extractor": extractor,
        "against": "held-out",
        "synthetic": {"pictures": 500},
        "groups": [{"finding": "all", "figures": figures}],
        "agreement": {"findings": list(TWO), "synthetic": side, "real": side},
        "copies": {"rate": held_out, "held_out": None, "beyond_chance": False},
        **entries,
    }
