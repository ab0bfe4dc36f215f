"""How a classifier is trained. Light: no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Network = Literal["cnn", "resnet18_28", "resnet18", "resnet50", "densenet121", "efficientnet_b0", "vit_b_16"]


class ClassifyConfig(BaseModel):
    """Frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Network = "densenet121"
    pretrained: bool = True  # on ImageNet; cnn and resnet18_28 have no such weights
    weights: str | None = None  # a local file or s3:// in place of the published ImageNet weights
    resize: int = Field(256, ge=16, le=1024)  # pixels that pictures are held at
    size: int = Field(224, ge=16, le=1024)  # pixels of the crop that the network sees
    crop_scale: tuple[float, float] = (0.8, 1.0)  # share of the area that a random resized crop takes
    flip: bool = True  # left to right; off where the side matters
    rotation: float = Field(10, ge=0, le=180)  # degrees, to either side
    jitter: float = Field(0.1, ge=0, lt=1)  # of brightness and contrast
    epochs: int = Field(20, ge=1, le=10_000)  # of the baseline; each ends with a validation
    batch: int = Field(64, ge=2, le=4096)
    learning_rate: float = Field(1e-4, gt=0, lt=1)  # of AdamW, falling as a cosine
    weight_decay: float = Field(0.01, ge=0)
    dropout: float = Field(0.3, ge=0, lt=1)  # of DenseNet-121's head
    precision: Literal["auto", "fp32", "bf16"] = "auto"
