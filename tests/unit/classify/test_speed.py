"""What forecasts of classifiers rest on."""

import pytest

from cxr.classify.config import ClassifyConfig
from cxr.classify.speed import measure_speed
from cxr.classify.task import task_of


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_speed_is_measured_of_any_task_with_more_findings_than_a_batch_has_pictures(exclusive: bool) -> None:
    config = ClassifyConfig(network="cnn", pretrained=False, resize=32, size=32, batch=4, epochs=9)
    found = measure_speed(config, task_of(7, exclusive))
    assert found.step > 0 and found.prediction > 0
