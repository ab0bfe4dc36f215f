"""What to fine-tune and how. Light: neither torch nor diffusers is imported here."""

from typing import Any, Literal

from pydantic import Field
from tyro.conf import Suppress

from cxr.data.subsets import SUBSET_SEED
from cxr.diffusion.config import AdapterConfig, SamplerConfig
from cxr.errors import BadInput

Metric = Literal["ssim", "psnr", "mse", "kid"]
Metrics = dict[str, float]
TEACHER_STEPS, FIRST_STAGE = 16, 8  # of a distillation: of its teacher's ways, and what its student begins with
FEWEST_FOR_KID = 2  # pictures: its estimate is without bias, and one has no other to be compared with


class FinetuneConfig(AdapterConfig):
    """The recipe of a fine-tuned model; with the digests of base model and data it fixes the training.

    Frozen, and refuses what it does not know. A step is one update of the weights.
    """

    model: str = "tiny"
    """The base: an alias (tiny, sd15, sd21, sdxl, sd35_medium, pixart_sigma, sana_600m), a diffusers folder,
    a whole Stable Diffusion 1, 2 or XL in one .safetensors file, owner/name@revision or s3://bucket/prefix."""
    lora: str | None = None
    """With --method distill: a LoRA on the base, which is distilled with it."""
    steps: Literal[1, 2, 4, 8] | None = None
    """With --method distill or distill_lora: in how many steps the model that is left samples."""
    noises: int = Field(1100, ge=8, le=1_000_000)
    """With these: from how many noises the base is followed, 16 steps with --guidance each, to learn from."""
    finding: str = "all"
    """`all`, or some of the set's findings separated by commas."""
    patients: Suppress[float] = Field(100, gt=0, le=100)
    """Percent of the training part's, as the study draws them; `--patients` also takes a list of them."""
    subset_seed: int = Field(SUBSET_SEED, ge=0, lt=2**62)
    """Draws that share of the patients; the same as of a study's arms."""
    canaries: int = Field(0, ge=0, le=100_000)
    """Training patients of whom a secret coin leaves each in or out, for `cxr audit` to guess who; 0: none."""
    captions: Literal["catalog", "instance"] = "catalog"
    """catalog: each picture's own text; instance: the instance prompt for all."""
    instance_prompt: str = "chest X-ray showing {finding}"
    """What a caption says where it is no text: with {finding}, {findings}, {view}, {sex}, {age}, as far as known."""
    size: int = Field(512, ge=64, le=2048, multiple_of=8)
    """Pixels along each side."""
    flip: float = Field(0.0, ge=0, le=1)
    """Share of pictures that are mirrored; left and right mean something in an X-ray."""
    caption_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of empty captions: guidance needs the model without a text."""
    prior_weight: float = Field(0.0, ge=0, le=100)
    """Weight of class pictures, one beside each of the set, which keep the model from forgetting; 0: none."""
    class_prompt: str = "chest X-ray"
    """What the base model is asked for to make them."""
    class_images: int = Field(200, ge=1, le=100_000)
    """How many of them."""

    epochs: int = Field(1, ge=1, le=100_000)
    """Times that the training sees the whole set."""
    max_train_steps: int | None = Field(None, ge=1, le=10_000_000)
    """Updates of the weights, in place of epochs."""
    batch: int = Field(8, ge=1, le=4096)
    """Pictures in one pass of all workers together."""
    accumulation: int = Field(1, ge=1, le=1024)
    """Passes in one step."""
    learning_rate: float = Field(1e-4, gt=0, le=1)
    """Of AdamW, at its highest."""
    weight_decay: float = Field(0.01, ge=0, le=1)
    """Of AdamW."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    warmup: int = Field(0, ge=0, le=1_000_000)
    """Steps in which the learning rate rises from 0."""
    max_grad_norm: float = Field(1.0, gt=0, le=1000)
    """Longer gradients are cut to this."""
    epsilon: float | None = Field(None, gt=0, le=50)
    """Train a LoRA with differential privacy by patient, who then changes the odds of any model by a factor of
    e^epsilon at most; none: without."""
    delta: float | None = Field(None, gt=0, lt=1)
    """With --epsilon: how likely it is not to hold; by default 1 / (10 x training patients)."""
    clip_bound: float = Field(0.05, gt=0, le=1000)
    """With --epsilon: a patient's gradient is cut to this, and the noise grows with it."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which is then validated and kept, e.g. 0.999; 0: none."""
    cache: bool = True
    """Keep latents and, of a frozen text encoder, text states; the result is the same."""

    validate_every: int = Field(100, ge=1, le=1_000_000)
    """Steps between validations, each with a checkpoint."""
    validation_images: int = Field(16, ge=1, le=10_000)
    """How many pictures a validation looks at."""
    test_images: int = Field(64, ge=1, le=10_000)
    """How many the closing test looks at."""
    sampling_steps: int = Field(30, ge=1, le=1000)
    """Denoising steps of the pictures that a validation makes."""
    guidance: float = Field(7.5, ge=1, le=50)
    """Classifier-free guidance scale of these pictures."""
    select: Metric = "mse"
    """What the best checkpoint is chosen by."""
    patience: int = Field(0, ge=0, le=100_000)
    """Validations without a better one before it stops; 0: never."""
    folds: int = Field(1, ge=1, le=50)
    """Of cross-validation, by patient, side by side; then the final model. 1: none."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of order, noise and LoRA."""

    @property
    def few_steps(self) -> int:
        """Of a distillation, which `check_distillation` has passed."""
        assert self.steps is not None
        return self.steps

    @property
    def sampler(self) -> SamplerConfig:
        """Of the pictures that a validation makes."""
        if self.distills:
            return SamplerConfig(size=self.size, steps=self.few_steps, guidance=1, solver="ddim")
        return SamplerConfig(size=self.size, steps=self.sampling_steps, guidance=self.guidance)


def total_steps(config: FinetuneConfig, units: int) -> int:
    """How many steps the training has on a set of so many pictures; with differential privacy, of so many patients."""
    return config.max_train_steps or -(-config.epochs * units // (config.batch * config.accumulation))


def count_units(config: FinetuneConfig, images: int) -> int:
    """What an epoch goes over: the pictures, or a distillation's noises."""
    return config.noises if config.distills else images


def check_batch(config: FinetuneConfig, units: int) -> None:
    """`BadInput` if a step takes more pictures, or noises, than there are to train on."""
    if config.batch * config.accumulation > units:
        what = "--noises" if config.distills else "pictures of the set"
        raise BadInput(
            f"--batch {config.batch} x {config.accumulation} accumulated: more than the {units} {what}; lower --batch"
        )


def check_distillation(config: FinetuneConfig) -> None:
    """`BadInput` where a recipe asks for what distillation has not, or for distillation's options without it."""
    if not config.distills:
        for option, given in (("--steps", config.steps), ("--lora", config.lora)):
            if given is not None:
                raise BadInput(f"{option} {given}: is of --method distill; take that, or leave the option out")
        return
    refused = {
        "--lora: a distilled LoRA goes on --model alone; take --method distill": (
            config.trains_lora and config.lora is not None
        ),
        "--train-text-encoder: the text encoder stays as it is; give False, or begin from the recipe distill": (
            config.train_text_encoder
        ),
        "--epsilon: no picture is trained on; distil a model that keeps the promise, with a set of phantoms": (
            config.epsilon is not None
        ),
        "--prior-weight: no picture is trained on; give 0": config.prior_weight > 0,
        "--canaries: no picture of theirs would be trained on; give 0": config.canaries > 0,
        "--folds: there is nothing to cross-validate; give 1": config.folds > 1,
    }
    for line, applies in refused.items():
        if applies:
            raise BadInput(f"--method {config.method} with {line}")
    if config.steps is None:
        raise BadInput(f"--method {config.method}: give --steps 1, 2, 4 or 8, in which the model is to sample")


def advise_less_memory(config: FinetuneConfig) -> str:
    """What takes less memory."""
    return (
        f"lower --batch {config.batch} (and raise --accumulation {config.accumulation} for the same result), lower "
        f"--size {config.size}, or turn on --gradient-checkpointing"
    )


def identity(
    config: FinetuneConfig, model_digest: str, data_digest: str, lora_digest: str | None = None
) -> dict[str, Any]:
    """The recipe as the record keeps it: places are replaced by digests; whether results are kept changes none. Of a
    whole training part, without canaries, privacy or distillation, it is what it was before there were such."""
    left_out = {"model", "lora", "cache"} | ({"patients", "subset_seed"} if config.patients == 100 else set())
    left_out |= set() if config.canaries else {"canaries"}
    left_out |= {"epsilon", "delta", "clip_bound"} if config.epsilon is None else set()
    left_out |= set() if config.distills else {"steps", "noises"}
    places = {"model": model_digest, "data": data_digest} | ({"lora": lora_digest} if lora_digest else {})
    return {**config.model_dump(mode="json", exclude=left_out), **places}
