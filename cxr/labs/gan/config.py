"""How the GAN lab's networks are made and trained. Light: no torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SIZE = 28  # px, MNIST's and MedMNIST's, height and width


class GanConfig(BaseModel):
    """The recipe of a GAN and its pictures; with the digest of the real pictures it fixes every byte.

    Frozen, and refuses what it does not know. The optimiser's defaults are those of Radford et al. 2016 (DCGAN).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditional: bool = False  # both networks are told the class
    noise_dim: int = Field(100, ge=1, le=4096)
    width: int = Field(64, ge=1, le=1024)  # channels next to the picture; twice as many further in
    epochs: int = Field(60, ge=1, le=100_000)
    batch_size: int = Field(64, ge=2, le=65_536)
    learning_rate: float = Field(2e-4, gt=0, le=1)  # of Adam, for both networks
    beta1: float = Field(0.5, ge=0, lt=1)  # of Adam
    label_smoothing: float = Field(0.1, ge=0, lt=0.5)  # real pictures count as 1 less this (Salimans et al. 2016)

    lenet_epochs: int = Field(15, ge=1, le=10_000)
    lenet_batch_size: int = Field(128, ge=2, le=65_536)
    lenet_learning_rate: float = Field(2e-3, gt=0, le=1)  # of Adam, at its highest

    count: int = Field(1000, ge=10, le=100_000)  # pictures that are generated and kept
    checkpoint_every: int = Field(5, ge=1, le=100_000)  # epochs
    threads: int = Field(1, ge=1, le=256)  # fixed, because it can change a last bit
    seed: int = Field(0, ge=0, lt=2**62)


def identity(config: GanConfig, data_digest: str) -> dict[str, Any]:
    """The recipe as the record keeps it: the place of the real pictures is replaced by their digest."""
    return {**config.model_dump(mode="json"), "data": data_digest}
