"""How the embedded base model is made: sizes, data and the two trainings. Light: no torch."""

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class VaeConfig(Config):
    channels: tuple[int, ...] = (16, 32, 32)
    """One a level; each level but the last halves the picture."""
    latent_channels: int = 8
    """Half the pictures' numbers: with Stable Diffusion's 4, dots and grain were lost."""
    steps: int = 3000
    """Optimiser steps."""
    batch: int = 2
    """Phantoms in one step."""
    learning_rate: float = 3e-3
    """Of AdamW, at its highest."""
    kl_weight: float = 1e-5
    """Of the divergence from a standard normal."""
    edge_weight: float = 1.0
    """Of the L1 between finite differences: keeps ribs, wires and pleural lines sharp."""
    texture_weight: float = 2.0
    """Of the L1 between local strengths of the same: keeps grain from being smoothed away."""


class TextConfig(Config):
    vocabulary: int = 2048
    """Pieces of words that the tokenizer knows."""
    length: int = 77
    """Tokens, as CLIP."""
    width: int = 96
    """Numbers for each token."""
    layers: int = 3
    """Of the transformer."""
    heads: int = 4
    """Of its attention."""
    steps: int = 1000
    """Optimiser steps."""
    jumbled: float = 0.7
    """Share of captions whose words are mixed up."""
    batch: int = 64
    """Captions in one step."""
    learning_rate: float = 1e-3
    """Of AdamW, at its highest."""


class DenoiserConfig(Config):
    channels: tuple[int, ...] = (32, 48, 96, 128)
    """One a level of the UNet."""
    heads: int = 4
    """Of its attention."""
    steps: int = 5000
    """Optimiser steps."""
    batch: int = 32
    """Phantoms in one step."""
    learning_rate: float = 8e-4
    """Of AdamW, at its highest."""
    warmup: int = 150
    """Steps until the learning rate is at its highest."""
    ema: float = 0.999
    """Share that the moving average of the weights keeps in each step."""
    caption_dropout: float = 0.1
    """Share of empty captions, for classifier-free guidance."""
    jumbled: float = 0.4
    """Share of captions whose words are mixed up."""
    snr_gamma: float = 5.0
    """Min-SNR weighting, Hang et al. 2023 (arXiv:2303.09556)."""


class PretrainConfig(Config):
    """The whole recipe of an embedded base model."""

    seed: int = 0
    """Of every draw."""
    size: int = 128
    """Pixels along each side."""
    phantoms: int = 12000
    """Drawn to train on."""
    several: float = Field(0.25, ge=0, le=1)
    """Share of phantoms and captions with two or three patterns at once."""
    independent: float = Field(0.5, ge=0, le=1)
    """Share of phantoms that show cardiomegaly, effusion and nodule each or not, by the toss of a coin; what neither
    share has shows one of the ten findings."""
    start: str | None = None
    """A model that this command has made, to go on from: `tiny`, or a folder. Its autoencoder is kept, its text encoder
    and UNet are trained further, in the sizes that they have. None: all from new weights."""
    vae: VaeConfig = VaeConfig()
    text: TextConfig = TextConfig()
    denoiser: DenoiserConfig = DenoiserConfig()


class ExtractorConfig(Config):
    """The recipe of the embedded extractor; what is not here is as in a classifier's own configuration."""

    seed: int = 0
    """Of every draw."""
    size: int = 128
    """Pixels along each side."""
    phantoms: int = 8000
    """Each is shown as it is and once more with another appearance."""
    epochs: int = 4
    """Over both."""
    fresh: int = 1000
    """Phantoms of another series, for the accuracy in the card."""
