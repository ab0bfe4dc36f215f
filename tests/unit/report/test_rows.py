"""The study's tables: marks, intervals, and what was not measured."""

from dataclasses import replace

import pytest

from cxr.study.pages import rows
from cxr.study.results import Spread, Study
from tests.unit.report.sample import unfinished


def with_p(study: Study, arm: str, against: str, mean: float, p_holm: float, metric: str = "auroc") -> Study:
    """The study with another result of one comparison."""
    arms = []
    for one in study.arms:
        found = [
            replace(d, mean=mean, p_holm=p_holm) if (d.against, d.metric) == (against, metric) else d
            for d in one.differences
        ]
        arms.append(replace(one, differences=found) if one.arm == arm else one)
    return replace(study, arms=arms)


def row(study: Study, arm: str) -> dict[str, str]:
    head, cells = rows.results(study)
    return dict(zip(head, cells[[one.arm for one in study.arms].index(arm)], strict=True))


@pytest.mark.parametrize(
    ("base", "control", "mark"),
    [
        ((0.02, 0.0499), (0.01, 0.2), "*"),
        ((-0.02, 0.0099), (0.01, 0.05), "**"),
        ((0.02, 0.05), (0.01, 0.049), "†"),
        ((0.02, 0.01), (-0.01, 0.001), "*"),
        ((-0.05, 0.001), (0.05, 0.001), "**†"),
        ((0.0, 1.0), (0.0, 1.0), ""),
    ],
)
def test_marks_are_of_corrected_p_and_the_dagger_only_of_gains(binary, base, control, mark):
    study = with_p(binary, "limited_10", "baseline", *base)
    study = with_p(study, "limited_10", "limited_10_real", *control)
    arm = next(arm for arm in study.arms if arm.arm == "limited_10")
    assert rows.marks(study, arm) == mark
    assert row(study, "limited_10")["AUROC"].split(" (")[0].lstrip("0123456789.") == mark


def test_less_calibration_error_is_better(binary):
    arm = next(arm for arm in binary.arms if arm.arm == "limited_10")
    less = replace(arm.differences[-1], metric="calibration_error", against="limited_10_real", mean=-0.02, p_holm=0.01)
    for mean, mark in ((-0.02, "†"), (0.02, "")):
        changed = replace(arm, differences=[replace(less, mean=mean)])
        assert rows.marks(binary, changed, "calibration_error") == mark


def test_results_show_every_arm_with_figures_and_intervals(binary):
    head, cells = rows.results(binary)
    assert [line[0] for line in cells] == [f"{arm.label}: {arm.arm}" for arm in binary.arms]
    assert all(len(line) == len(head) for line in cells)
    found, spread = row(binary, "synth_50"), binary.arms[2].metrics["f1"]
    assert found["F1"] == f"{spread.mean:.3f} ({spread.low:.3f} to {spread.high:.3f})"
    assert (found["real"], found["synthetic"], found["seeds"]) == ("1,200", "600", "3")
    assert row(binary, "baseline")["difference from baseline"] == row(binary, "baseline")["p (Holm)"] == "-"


def test_what_was_not_measured_is_a_dash_and_lost_seeds_are_told(odd, binary):
    assert row(unfinished(binary), "synth_50")["seeds"] == "2 of 3"
    lost = row(odd, "synth_25")
    assert lost["seeds"] == "0 of 1" and lost["AUROC"] == lost["ECE"] == lost["p (Holm)"] == "-"
    head, compared = rows.comparisons(odd)
    assert "Welch (Holm)" not in head and "DeLong (Holm)" in head  # Welch's test needs two seeds
    assert "synth_25" not in {line[0] for line in compared}


PERFECT, SCATTERED, STILL = Spread(1.0, 0.0, 0.934, 1.0), Spread(0.773, 0.231, 0.1, 0.99), Spread(0.0, 0.0, None, None)


def test_an_interval_that_says_nothing_is_not_shown(binary):
    """0.10 to 0.99 of an accuracy becomes the scatter that made it; an AUROC's is shown, whatever its width."""
    first = binary.arms[0]
    metrics = first.metrics | {"auroc": SCATTERED, "accuracy": SCATTERED, "calibration_error": STILL}
    study = replace(binary, arms=[replace(first, metrics=metrics), *binary.arms[1:]])
    shown = row(study, "baseline")
    assert shown["accuracy"] == "0.773 (seeds ± 0.231)" and shown["ECE"] == "0.000"
    assert shown["AUROC"] == "0.773 (0.100 to 0.990)"
    lines = rows.explained(study)
    assert len(lines) == 2 and lines[0].startswith("seeds ±") and "varied neither" in lines[1]
    assert rows.explained(binary) == []


def test_a_perfect_figure_is_explained_with_what_so_few_patients_allow(binary):
    arm = replace(binary.arms[1], metrics=binary.arms[1].metrics | {"auroc": PERFECT})
    study = replace(binary, arms=[binary.arms[0], arm, *binary.arms[2:]])
    assert row(study, "synth_25")["AUROC"] == "1.000 (0.934 to 1.000)"
    (line,) = rows.explained(study)
    assert "no mistake on the 241 test patients" in line and "here 0.934" in line


def test_a_bootstrap_that_saw_no_difference_is_not_shown(binary):
    same = [replace(d, bootstrap_low=0.0, bootstrap_high=0.0) for d in binary.arms[1].differences]
    head, cells = rows.comparisons(replace(binary, arms=[binary.arms[0], replace(binary.arms[1], differences=same)]))
    assert "bootstrap" not in head and len(cells) == 1


def test_comparisons_with_the_baseline_come_first(binary):
    _, cells = rows.comparisons(binary)
    against = [line[1] for line in cells]
    assert len(cells) == 17 and set(against[:12]) == {"100 % real"}
    half, most = (f"100 % real + {share} % of the steps" for share in ("50", "66.67"))
    assert against[12:] == [most, half, "10 % real", "25 % real", half]


def test_subgroups_that_are_too_small_are_left_out_and_absent_ones_are_dashes(binary):
    short = replace(binary.arms[1], subgroups=binary.arms[1].subgroups[:1])
    tables = rows.subgroups(replace(binary, arms=[binary.arms[0], short]))
    sizes = {f"{g.attribute} {g.value}: {g.pictures} pictures" for g in binary.arms[0].subgroups}
    shown = {name for head, _ in tables.values() for name in head}
    assert "age 90-99: 4 pictures" in sizes - shown and not any("-" in cells[0] for _, cells in tables.values())
    first, *others = tables.values()
    assert first[1][1][1] != "-" and set(first[1][1][2:]) <= {"-"}
    assert all(set(cells[1][1:]) == {"-"} for _, cells in others)
    nobody = replace(binary, arms=[replace(arm, subgroups=[]) for arm in binary.arms])
    assert rows.subgroups(nobody) == {}


def test_counts_add_up_and_confusion_is_by_class(ten):
    assert rows.counts(ten)[1][-1] == ["all", "1,200", "150", "360"]
    head, cells = rows.confusion(ten, ten.arms[0])
    assert head[1:] == [line[0] for line in cells] == ten.classes
    assert sum(int(cell) for cell in cells[3][1:] if cell != "·") == sum(ten.arms[0].confusion[3])


def test_p_values_are_not_told_beyond_what_they_mean():
    assert [rows.p_value(p) for p in (None, 0.0, 0.00099, 0.001, 0.0496, 1.0)] == [
        "-", "<0.001", "<0.001", "0.001", "0.050", "1.000"
    ]  # fmt: skip
