import json

import numpy as np
import pytest

from cxr.evaluate.calibration import calibrate, count_copies
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.measure import choose_groups, measure_group
from cxr.evaluate.results import Quality, Source
from cxr.evaluate.sets import rows_of
from cxr.report.words import metric_label

CONFIG = EvaluateConfig(resamples=20, splits=6, pairs=40, infinite=True, against="all")


@pytest.fixture(scope="session")
def measured(grid_extractor, features_of):
    def measure_all(real, synthetic, config: EvaluateConfig = CONFIG):
        features = features_of(real), features_of(synthetic)
        chosen = choose_groups(real, rows_of(real.splits, config.against), synthetic, ("a", "b"), config)
        return [measure_group(group, real, synthetic, features, grid_extractor, config) for group in chosen]

    return measure_all


def test_a_good_generator_is_near_the_reference_and_a_shifted_one_is_not(made_pictures, measured):
    real = made_pictures("r", 120)
    good, bad = (measured(real, made_pictures("s", 100, shift, seed=1)) for shift in (0, 40))
    assert [group.finding for group in good] == ["all", "a", "b"]
    for fine, poor in zip(good, bad, strict=True):
        near, far = fine.metrics["frechet_distance"], poor.metrics["frechet_distance"]
        assert near.reference.synthetic < 1.3 * near.reference.value < 0.3 * far.reference.synthetic
        assert far.interval.low > 0 and abs(near.infinite) < near.interval.value < far.infinite
        assert fine.metrics["coverage"].interval.value > 0.8 > poor.metrics["coverage"].interval.value
        assert fine.metrics["inception_score"].interval.value >= 1
    assert (good[0].real_count, good[0].synthetic_count, good[1].real_patients) == (240, 200, 120)
    for name in ("precision", "recall", "coverage"):
        assert all(0 <= group.metrics[name].interval.low <= group.metrics[name].interval.high <= 1 for group in good)
    assert good[0].real_diversity is None and 0 < good[1].synthetic_diversity.value < 1


def test_most_pictures_are_drawn_by_the_seed(made_pictures, measured):
    real, synthetic = made_pictures("r", 60), made_pictures("s", 60, seed=1)
    few = [measured(real, synthetic, CONFIG.model_copy(update={"max_samples": 40, "seed": seed})) for seed in (1, 1, 2)]
    assert few[0][0].real_count == few[0][1].synthetic_count == 40
    assert few[0] == few[1] != few[2]


def test_where_figures_are_of_some_pictures_the_distance_between_all_is_given_too(made_pictures, measured):
    real, synthetic = made_pictures("r", 60), made_pictures("s", 80, seed=1)
    of_all, of_some = (measured(real, synthetic, CONFIG.model_copy(update={"max_samples": most})) for most in (160, 40))
    for group, few in zip(of_all, of_some, strict=True):
        distance = group.metrics["frechet_distance"].interval.value
        assert group.whole is None and few.whole.frechet_distance == pytest.approx(distance, rel=1e-6)
        assert (few.whole.real_count, few.whole.synthetic_count) == (group.real_count, group.synthetic_count)


@pytest.mark.parametrize(("per_finding", "too_few"), [(14, True), (20, False)])
def test_fewer_samples_than_dimensions_is_said(made_pictures, measured, per_finding: int, too_few: bool):
    groups = measured(made_pictures("r", 30), made_pictures("s", per_finding, seed=1))
    assert groups[1].too_few == too_few


def test_only_with_inception_is_it_called_what_the_field_calls_it():
    assert (
        metric_label("inception", "frechet_distance") == "FID" and metric_label("inception", "coverage") == "coverage"
    )
    assert metric_label("tiny", "frechet_distance") == "Fréchet distance (tiny)"
    assert "FID" not in metric_label("tiny", "frechet_distance") and "KID" not in metric_label(
        "tiny", "kernel_distance"
    )


def test_quality_json_says_what_each_figure_is_of(made_pictures, measured):
    real, synthetic = made_pictures("r", 120), made_pictures("s", 30, seed=1)
    groups = measured(real, synthetic)
    known = calibrate(real, 100, np.random.default_rng(0))
    copies = count_copies(known, synthetic.labels, known.index.nearest(synthetic.read(np.arange(60))))
    sources = Source("d1", "ingested images", 240, "real"), Source("d2", "generated images", 60, "made")
    quality = Quality("tiny", "w", 16, *sources, "all", groups, None, None, None, copies, "", ["a note"])
    told = json.loads(quality.json())
    assert told["weights_digest"] == "w" and told["real"]["digest"] == "d1" and told["agreement"] is None
    group = told["groups"][1]
    assert (group["finding"], group["real_count"], group["synthetic_count"]) == ("a", 120, 30)
    figure = group["figures"]["frechet_distance"]
    assert figure["interval"]["low"] <= figure["interval"]["corrected"] <= figure["interval"]["high"]
    assert figure["floor"]["count"] == 30 and told["copies"]["rate"]["total"] == 60
