"""How the GAN lab's networks are made and trained. Light: no torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SIZE = 28  # px, MNIST's and MedMNIST's, height and width


class GanConfig(BaseModel):
    """The recipe of a GAN and its pictures; with the digest of the real pictures it fixes every byte.

    Frozen, and refuses what it does not know. The optimiser's defaults are those of Radford et al. 2016 (DCGAN).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditional: bool = False
    """Tell both networks the class, so that one can be asked for."""
    noise_dim: int = Field(100, ge=1, le=4096)
    """Numbers that a picture grows from."""
    width: int = Field(64, ge=1, le=1024)
    """Channels next to the picture; twice as many further in."""
    epochs: int = Field(60, ge=1, le=100_000)
    """Times that the training sees the train part."""
    batch_size: int = Field(64, ge=2, le=65_536)
    """Pictures in one step."""
    learning_rate: float = Field(2e-4, gt=0, le=1)
    """Of Adam, for both networks."""
    beta1: float = Field(0.5, ge=0, lt=1)
    """Of Adam."""
    label_smoothing: float = Field(0.1, ge=0, lt=0.5)  # Salimans et al. 2016
    """Real pictures count as 1 less this."""

    lenet_epochs: int = Field(15, ge=1, le=10_000)
    """Of the classifier."""
    lenet_batch_size: int = Field(128, ge=2, le=65_536)
    """Of the classifier."""
    lenet_learning_rate: float = Field(2e-3, gt=0, le=1)
    """Of the classifier, by Adam, at its highest."""

    count: int = Field(1000, ge=10, le=100_000)
    """Pictures to generate and keep."""
    checkpoint_every: int = Field(5, ge=1, le=100_000)
    """Epochs between checkpoints."""
    threads: int = Field(1, ge=1, le=256)
    """Of the CPU; can change a last bit."""
    seed: int = Field(0, ge=0, lt=2**62)
    """Of every draw."""


def identity(config: GanConfig, data_digest: str) -> dict[str, Any]:
    """The recipe as the record keeps it: the place of the real pictures is replaced by their digest."""
    return {**config.model_dump(mode="json"), "data": data_digest}
