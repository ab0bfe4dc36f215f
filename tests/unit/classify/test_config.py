import pytest
from pydantic import ValidationError

from cxr.classify.config import ClassifyConfig


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"size": 300}, "more than the 256 px"),
        ({"crop_scale": (0.9, 0.8)}, "crop_scale 0.9 0.8"),
        ({"crop_scale": (0, 1)}, "crop_scale 0 1"),
        ({"crop_scale": (0.5, 1.1)}, "crop_scale 0.5 1.1"),
        ({"network": "cnn", "weights": "x.safetensors"}, "starts from scratch"),
        ({"pretrained": False, "weights": "x.safetensors"}, "starts from scratch"),
        ({"resize": 28, "size": 28}, "densenet121 needs 32 px; take cnn or resnet18_28"),
        ({"network": "vit_b_16", "size": 128}, "vit_b_16 sees 224 px"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: dict, says: str):
    with pytest.raises(ValidationError, match=says):
        ClassifyConfig(**fields)


def test_steps_cover_every_epoch():
    assert ClassifyConfig(epochs=3, batch=64).steps(100) == 5
