"""How a classifier is trained. Light: no torch."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Network = Literal[
    "cnn", "resnet18_28", "resnet18", "resnet50", "densenet121", "efficientnet_b0", "vit_b_16", "xrv", "rad-dino"
]
FOUNDATION = ("xrv", "rad-dino")  # trained on X-rays by others; extractors of `cxr evaluate` too
SMALL_NETWORKS = ("cnn", "resnet18_28")  # for small pictures; nobody has trained them on ImageNet
PATCH = 14  # px of rad-dino's, a square
MIN_SIZE = 32  # px that the others, which halve a picture five times, need


class ClassifyConfig(BaseModel):
    """How the classifier of every arm is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Network = "densenet121"
    """The classifier."""
    pretrained: bool = True
    """Begin with ImageNet's weights, where the network has such; False: from scratch."""
    weights: str | None = None
    """Other first weights than the published ones: a safetensors file or s3://bucket/prefix; of rad-dino a folder."""
    frozen: bool = False
    """A linear probe: train a last layer alone, on features of xrv or rad-dino, computed once for all trials."""
    resize: int = Field(256, ge=16, le=1024)
    """Pixels that pictures have in memory; a picture takes resize^2 bytes of memory."""
    size: int = Field(224, ge=16, le=1024)
    """Pixels of the crop that the network sees."""
    crop_scale: tuple[float, float] = (0.8, 1.0)
    """Share of the area that a random resized crop takes."""
    flip: bool = True
    """Mirror training pictures at random; not where the side matters."""
    rotation: float = Field(10, ge=0, le=180)
    """Degrees that training pictures are turned at most, to either side."""
    jitter: float = Field(0.1, ge=0, lt=1)
    """Random change of brightness and contrast, as a share."""
    epochs: int = Field(20, ge=1, le=10_000)
    """Of the baseline; each ends with a validation."""
    batch: int = Field(64, ge=2, le=4096)
    """Pictures in a step."""
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    """Of AdamW, at its highest; it falls as a cosine."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Of DenseNet-121's head."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What the network computes in; auto: bf16 where the hardware has it."""

    def steps(self, pictures: int) -> int:
        """Steps in which so many pictures are seen `epochs` times."""
        return math.ceil(self.epochs * pictures / self.batch)

    @property
    def changes_geometry(self) -> bool:
        """Whether training crops, flips or rotates."""
        return bool(self.size != self.resize or self.crop_scale != (1, 1) or self.flip or self.rotation)

    @property
    def extractor(self) -> str:
        """A network that others trained on X-rays, as `--extractor` names it with its weights."""
        return self.network if self.weights is None else f"{self.network}={self.weights}"

    @model_validator(mode="after")
    def _fits_together(self) -> "ClassifyConfig":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale {low:g} {high:g}: give two shares of the area, the smaller first, up to 1")
        if self.size > self.resize:
            raise ValueError(
                f"size {self.size}: more than the {self.resize} px that pictures are held at; raise resize"
            )
        if self.weights is not None and (self.network in SMALL_NETWORKS or not self.pretrained):
            raise ValueError(f"weights {self.weights}: {self.network} starts from scratch here; leave them out")
        if self.network not in SMALL_NETWORKS and self.size < MIN_SIZE:
            raise ValueError(
                f"size {self.size}: {self.network} needs {MIN_SIZE} px; take {' or '.join(SMALL_NETWORKS)}"
            )
        if self.frozen and (self.network not in FOUNDATION or self.changes_geometry or self.jitter):
            raise ValueError(
                "frozen: its features are of pictures as they are; take network xrv or rad-dino, resize as size, "
                "crop_scale 1 1, no flip, rotation 0 and jitter 0, as recipe rad_dino_probe has it"
            )
        if self.network in FOUNDATION and not self.pretrained:
            raise ValueError(f"pretrained: {self.network} is what it was trained on; leave pretrained true")
        if self.network == "rad-dino" and self.size % PATCH:
            raise ValueError(f"size {self.size}: rad-dino sees pictures in patches; give a multiple of {PATCH}, as 518")
        if self.network == "vit_b_16" and self.size != 224:
            raise ValueError(f"size {self.size}: vit_b_16 sees 224 px; give 224 or take another network")
        return self
