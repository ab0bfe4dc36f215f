"""The study's figures: which there are, at what size, and that they show what differs."""

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cxr.report import plots
from cxr.study.pages import plots as figures
from cxr.study.pages.rows import pairs
from cxr.study.results import ValidationPoint

PRINT = 300
ALWAYS = {"accuracy.png", "differences.png", "roc.png", "training.png", "dose.png", "confusion.png"}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_every_figure_is_for_print(binary, drawn, monkeypatch):
    assert set(drawn["binary"]) == ALWAYS and set(drawn["ten"]) == {*ALWAYS, "optimism.png", "learning.png"}
    for data in (*drawn["binary"].values(), *drawn["ten"].values()):
        assert Image.open(io.BytesIO(data)).width == 7 * plots.DPI
        assert pixels(data)[:, -2:].min() > 250  # nothing is cut off at the right
    monkeypatch.setattr(plots, "DPI", PRINT)
    image = Image.open(io.BytesIO(figures.accuracy(binary)))
    assert image.width == 2100 and round(image.info["dpi"][0]) == 300


def test_phantoms_are_marked_in_the_corner_of_every_figure(binary, drawn):
    """The corner is white but for the mark, whose colour is the orange of a warning."""

    def marked(data: bytes) -> bool:
        red, _, blue = np.moveaxis(pixels(data)[: plots.DPI // 4, -3 * plots.DPI :], -1, 0)
        return bool((red - blue > 150).any())

    assert all(marked(data) for data in drawn["ten"].values())
    assert not any(marked(data) for data in drawn["binary"].values())
    assert marked(figures.accuracy(replace(binary, phantom=True)))


def test_one_seed_and_lost_arms_are_drawn_as_far_as_they_go(odd, drawn):
    """A row an arm: of the first six arms four are left."""
    found = figures.draw(replace(odd, arms=odd.arms[:6]))
    assert set(found) == ALWAYS
    assert pixels(drawn["binary"]["accuracy.png"]).shape[0] - pixels(found["accuracy.png"]).shape[0] == pytest.approx(
        (len(odd.arms) - 4) * 0.6 * plots.DPI, abs=1
    )


def test_without_comparisons_there_is_no_forest_plot(binary):
    alone = replace(binary, arms=binary.arms[:1])
    assert set(figures.draw(alone)) == ALWAYS - {"differences.png"}


def test_the_same_study_is_the_same_bytes(binary, drawn):
    assert figures.accuracy(binary) == drawn["binary"]["accuracy.png"]
    better = replace(binary.arms[0], metrics=binary.arms[0].metrics | {"accuracy": binary.arms[5].metrics["auroc"]})
    assert figures.accuracy(replace(binary, arms=[better, *binary.arms[1:]])) != drawn["binary"]["accuracy.png"]


def test_a_mean_curve_is_of_the_steps_that_every_seed_has():
    curves = [[ValidationPoint(step, 0.1, auroc, 0.5) for step, auroc in points] for points in (
        [(10, 0.5), (20, 0.7), (30, 0.9)], [(10, 0.7), (20, 0.8)],
    )]  # fmt: skip
    steps, aurocs = figures.mean_curve(curves)
    assert steps == [10, 20] and aurocs == pytest.approx([0.6, 0.75])


def test_arms_are_of_four_kinds(binary):
    kinds = {arm.arm: figures.kind(binary, arm) for arm in binary.arms}
    assert kinds["baseline"] == "baseline" and kinds["synth_only"] == "synthetic only"
    assert kinds["limited_10"] == "real and synthetic" and kinds["real_short_50"] == "real only"


def test_every_amount_of_real_data_is_drawn(binary):
    """Seven: one more than there are colours. The last is of arms without any."""
    amounts = [700, 600, 500, 400, 300, 200, 0]
    arms = [replace(arm, real=real) for arm, real in zip(binary.arms, amounts, strict=False)]
    axis = Figure().subplots()
    figures.doses(axis, replace(binary, arms=arms), lambda arm: arm.synthetic, joined=True)
    labels = axis.get_legend_handles_labels()[1]
    assert labels == [*(f"{real} real pictures" for real in amounts[:-1]), "no real pictures"]


def test_the_forest_plot_says_what_its_signs_mean(binary):
    found = list(pairs(binary))

    def labels(chosen) -> list[str]:
        return [sign.get_label() for sign in figures.explained(binary, chosen)]

    kinds, band = ["real and synthetic", "synthetic only", "real only"], "too small to be found (80 % power)"
    assert labels(found) == [*kinds, band, "p < 0.01 after Holm", "p < 0.05 after Holm, better"]
    (synthetic_only,) = (pair for pair in found if pair[0].arm == "synth_only")
    assert labels([synthetic_only]) == ["synthetic only", band, "p < 0.01 after Holm"]
    unvaried = synthetic_only[0], replace(synthetic_only[1], detectable=None)
    assert labels([unvaried]) == ["synthetic only", "p < 0.01 after Holm"]


def test_an_arm_that_nothing_varied_in_has_no_band(binary):
    def gray(study) -> int:
        return int((pixels(figures.differences(study)) == (0xDF, 0xE3, 0xE6)).all(axis=-1).sum())

    arms = [replace(arm, differences=[replace(d, detectable=None) for d in arm.differences]) for arm in binary.arms]
    assert gray(binary) > 100_000 * (plots.DPI / PRINT) ** 2 and gray(replace(binary, arms=arms)) == 0
