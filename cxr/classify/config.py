"""How a classifier is trained. Light: no torch."""

from pydantic import BaseModel, ConfigDict


class ClassifyConfig(BaseModel):
    """Frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = 8
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
