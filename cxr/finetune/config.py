"""What to fine-tune and how. Light: neither torch nor diffusers is imported here."""

from typing import Any, Literal

from pydantic import Field

from cxr.data.subsets import SUBSET_SEED
from cxr.diffusion.config import AdapterConfig

Metric = Literal["ssim", "psnr", "mse", "kid"]


class FinetuneConfig(AdapterConfig):
    """The recipe of a fine-tuned model; with the digests of base model and data it fixes the training.

    Frozen, and refuses what it does not know. A step is one update of the weights.
    """

    model: str = "tiny"  # alias, folder, owner/name@revision or s3:// prefix
    finding: str = "all"  # or one, or some separated by commas
    patients: float = Field(100, gt=0, le=100)  # percent of the training part's, as the study draws them
    subset_seed: int = Field(SUBSET_SEED, ge=0, lt=2**62)  # of that draw
    captions: Literal["catalog", "instance"] = "catalog"  # catalog: each picture's own text
    instance_prompt: str = "chest X-ray showing {finding}"
    size: int = Field(512, ge=64, le=2048, multiple_of=8)  # px, height and width
    flip: float = Field(0.0, ge=0, le=1)  # share mirrored; off, because left and right mean something
    caption_dropout: float = Field(0.1, ge=0, lt=1)  # share of empty captions: guidance needs the model without a text
    prior_weight: float = Field(0.0, ge=0, le=100)  # of class pictures, one beside each of the set; 0: none
    class_prompt: str = "chest X-ray"
    class_images: int = Field(200, ge=1, le=100_000)

    epochs: int = Field(1, ge=1, le=100_000)
    max_train_steps: int | None = Field(None, ge=1, le=10_000_000)  # in place of epochs
    batch: int = Field(8, ge=1, le=4096)  # pictures in one pass of all workers together
    accumulation: int = Field(1, ge=1, le=1024)  # passes a step
    learning_rate: float = Field(1e-4, gt=0, le=1)
    weight_decay: float = Field(0.01, ge=0, le=1)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = Field(0, ge=0, le=1_000_000)  # steps
    max_grad_norm: float = Field(1.0, gt=0, le=1000)
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the moving average that is validated and kept; 0: none
    cache: bool = True  # keep latents and, of a frozen encoder, text states

    validate_every: int = Field(100, ge=1, le=1_000_000)  # steps
    validation_images: int = Field(16, ge=1, le=10_000)
    test_images: int = Field(64, ge=1, le=10_000)  # once, at the end
    sampling_steps: int = Field(30, ge=1, le=1000)  # of a picture for validation
    guidance: float = Field(7.5, ge=1, le=50)
    select: Metric = "mse"  # what the best checkpoint is chosen by
    patience: int = Field(0, ge=0, le=100_000)  # validations without a better one before it stops; 0: never
    folds: int = Field(1, ge=1, le=50)  # of cross-validation; 1: none
    seed: int = Field(0, ge=0, lt=2**63)


def total_steps(config: FinetuneConfig, images: int) -> int:
    """How many steps the training has on a set of `images`."""
    return config.max_train_steps or -(-config.epochs * images // (config.batch * config.accumulation))


def identity(config: FinetuneConfig, model_digest: str, data_digest: str) -> dict[str, Any]:
    """The recipe as the record keeps it: places are replaced by digests; whether results are kept changes none. Of a
    whole training part it is what it was before parts could be drawn."""
    left_out = {"model", "cache"} | ({"patients", "subset_seed"} if config.patients == 100 else set())
    return {**config.model_dump(mode="json", exclude=left_out), "model": model_digest, "data": data_digest}
