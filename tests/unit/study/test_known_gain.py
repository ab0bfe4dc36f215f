"""Whole studies with real trainings on phantoms, where it is known what the synthetic pictures do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cxr.classify.config import ClassifyConfig
from cxr.embedded.phantoms import draw_phantom
from cxr.ranks import Ranks
from cxr.store import open_store
from cxr.study.answer import answer
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.results import TestSet, Trial
from cxr.study.summary import summarise
from cxr.study.trial import TrialSpec, TrialWorker

REAL, MORE, VALIDATION, TEST, PX, STEPS = 100, 300, 200, 600, 32, 150
CONFIG = StudyConfig(
    classifier=ClassifyConfig(
        network="cnn", pretrained=False, resize=PX, size=PX, epochs=12, batch=32, learning_rate=2e-3, rotation=0,
        crop_scale=(1, 1),
    ),
    arms=(
        Arm(name=BASELINE),
        Arm(name="synth_300", synthetic=300, control="real_short_25"),
        Arm(name="real_short_25", steps=25),
    ),
    primary="synth_300",
    seeds=tuple(range(8)),
    resamples=100,
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """With ground-glass opacities or without, a patient each, in so much noise that 100 are few."""
    count = REAL + MORE + VALIDATION + TEST
    drawn = [draw_phantom(11, number, {"ground_glass": 0.5}, PX, views_per_patient=1) for number in range(count)]
    pixels = np.stack([one.pixels for one in drawn]) + np.random.default_rng(11).normal(0, 40, (count, PX, PX))
    return np.clip(pixels, 0, 255).astype(np.uint8), np.array([len(one.attributes.findings) for one in drawn])


@pytest.fixture(scope="module")
def worker() -> TrialWorker:
    validation, test = np.split(np.arange(REAL + MORE, REAL + MORE + VALIDATION + TEST), [VALIDATION])
    nothing = TrialSpec("", 0, [], 0, 0)
    return TrialWorker(
        open_store("unused"), "", nothing, 2, validation, test, CONFIG.classifier, "youden", optimism=False, threads=1
    )


@pytest.fixture(scope="module")
def real_alone(worker: TrialWorker, pictures) -> list[Trial]:
    torch.set_num_threads(1)
    specs = [
        TrialSpec(arm, seed, [(np.arange(REAL), steps)], REAL, 0)
        for seed in CONFIG.seeds
        for arm, steps in ((BASELINE, STEPS), ("real_short_25", round(STEPS / 4)))
    ]
    return [train(worker, spec, pictures) for spec in specs]


def train(worker: TrialWorker, spec: TrialSpec, pictures: tuple[np.ndarray, np.ndarray]) -> Trial:
    return replace(worker, spec=spec).train(lambda news: None, *pictures, Ranks())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "headline"),
    [
        ("new", "Synthetic pictures helped: "),
        ("copies", "No detectable difference: "),
        ("shuffled", "Synthetic pictures hurt: "),
    ],
)
def test_a_known_gain_none_and_harm_come_out_so(
    worker: TrialWorker, pictures, real_alone: list[Trial], kind: str, headline: str
) -> None:
    """New pictures of the same source help a hundred; copies of them do nothing; wrong labels hurt."""
    real = np.arange(REAL)
    others = np.tile(real, MORE // REAL) if kind == "copies" else np.arange(REAL, REAL + MORE)
    specs = [
        TrialSpec("synth_300", seed, [(np.concatenate([real, others]), STEPS)], REAL, MORE,
                  others if kind == "shuffled" else None)
        for seed in CONFIG.seeds
    ]  # fmt: skip
    trials = [*real_alone, *(train(worker, spec, pictures) for spec in specs)]
    ids = [str(row) for row in worker.test]
    test = TestSet(ids, pictures[1][worker.test].tolist(), ids, {})
    arms = summarise(CONFIG, trials, [], test, ("clear", "ground_glass"), np.random.default_rng(0))
    assert answer(CONFIG, arms).headline.startswith(headline)
