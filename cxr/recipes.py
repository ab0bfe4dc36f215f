"""Named complete configurations: a recipe is a function that returns one; the command line changes single fields."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cxr import cli
from cxr.audit.config import AuditConfig
from cxr.classify.config import ClassifyConfig
from cxr.diffusion.config import SamplerConfig
from cxr.evaluate.config import EvaluateConfig
from cxr.finetune.config import FinetuneConfig
from cxr.generate.config import TINY_SIZE, GenerateConfig
from cxr.ingest.config import IngestConfig
from cxr.labs.gan.config import GanConfig
from cxr.nightly.config import NightlyConfig
from cxr.pretrain.config import ExtractorConfig, PretrainConfig
from cxr.study.config import BASELINE, FILTERS, Arm, StudyConfig, standard_arms

Config = TypeVar("Config", bound=BaseModel)


def tiny() -> GenerateConfig:
    """The embedded model on phantoms' findings: minutes on a CPU, with the guidance of docs/results.md."""
    return GenerateConfig(model="tiny", sampler=SamplerConfig(size=TINY_SIZE, guidance=3.0), per_finding=16)


def sd15() -> GenerateConfig:
    """Stable Diffusion 1.5 as it comes: knows photographs, so fine-tune it before its X-rays are worth anything."""
    return GenerateConfig(model="sd15", sampler=SamplerConfig(size=512), per_finding=100)


def sd21() -> GenerateConfig:
    """Stable Diffusion 2.1-base as it comes."""
    return GenerateConfig(model="sd21", sampler=SamplerConfig(size=512), per_finding=100)


def sdxl() -> GenerateConfig:
    """Stable Diffusion XL as it comes; guidance and size as diffusers' pipeline has them."""
    return GenerateConfig(model="sdxl", sampler=SamplerConfig(size=1024, guidance=5.0, batch=4), per_finding=100)


# Steps and guidance of the three as CheXGenBench has them (github.com/Raman1121/CheXGenBench, generate_data_common.py).
def sd35_medium() -> GenerateConfig:
    """Stable Diffusion 3.5 medium as it comes; its licence is to be accepted on the hub first."""
    return GenerateConfig(
        model="sd35_medium", sampler=SamplerConfig(size=1024, steps=40, guidance=4.5, batch=4), per_finding=100
    )


def pixart_sigma() -> GenerateConfig:
    """PixArt-Sigma as it comes."""
    return GenerateConfig(
        model="pixart_sigma", sampler=SamplerConfig(size=1024, steps=20, guidance=4.5, batch=4), per_finding=100
    )


def sana_600m() -> GenerateConfig:
    """Sana 0.6B for 512 px as it comes."""
    return GenerateConfig(model="sana_600m", sampler=SamplerConfig(size=512, steps=20, guidance=4.5), per_finding=100)


GENERATE: dict[str, Callable[[], GenerateConfig]] = {
    "tiny": tiny,
    "sd15": sd15,
    "sd21": sd21,
    "sdxl": sdxl,
    "sd35_medium": sd35_medium,
    "pixart_sigma": pixart_sigma,
    "sana_600m": sana_600m,
}


def base_model() -> PretrainConfig:
    """The embedded base model: hours on 2 cores."""
    return PretrainConfig()


def extractor() -> ExtractorConfig:
    """The network behind the embedded distances, minutes."""
    return ExtractorConfig()


PRETRAIN: dict[str, Callable[[], PretrainConfig | ExtractorConfig]] = {"tiny": base_model, "extractor": extractor}


def px128() -> IngestConfig:
    """128 px, for the embedded model."""
    return IngestConfig(size=128)


def px512() -> IngestConfig:
    """512 px, for Stable Diffusion 1.5 and 2.1-base."""
    return IngestConfig()


def px1024() -> IngestConfig:
    """1024 px, for Stable Diffusion XL, 3.5 medium and PixArt-Sigma."""
    return IngestConfig(size=1024)


INGEST: dict[str, Callable[[], IngestConfig]] = {
    "tiny": px128,
    "sd15": px512,
    "sd21": px512,
    "sana_600m": px512,
    "sdxl": px1024,
    "sd35_medium": px1024,
    "pixart_sigma": px1024,
}


def embedded_extractor() -> EvaluateConfig:
    """The embedded extractor, on a CPU: for phantoms."""
    return EvaluateConfig()


# The recipes of large networks draw fewer halves, because their 768 to 2,048 features cost more, and FID takes more
# pictures than features, 10,000 as a rule. At 256 px MS-SSIM has all its scales. Networks scale pictures themselves.
def inception() -> EvaluateConfig:
    """Inception: FID and KID, as papers have them."""
    return EvaluateConfig(extractor="inception", size=256, max_samples=10_000, resamples=50, splits=10)


def xrv() -> EvaluateConfig:
    """TorchXRayVision's DenseNet-121, whose weights you have: --extractor xrv=FILE."""
    return EvaluateConfig(extractor="xrv", size=256, resamples=50, splits=10)


def rad_dino() -> EvaluateConfig:
    """RAD-DINO, trained on chest X-rays."""
    return EvaluateConfig(extractor="rad-dino", size=256, resamples=50, splits=10)


EVALUATE: dict[str, Callable[[], EvaluateConfig]] = {
    "tiny": embedded_extractor,
    "inception": inception,
    "xrv": xrv,
    "rad-dino": rad_dino,
}


def audit_tiny() -> AuditConfig:
    """The embedded extractor at 128 px, on a CPU."""
    return AuditConfig()


def audit_rad_dino() -> AuditConfig:
    """RAD-DINO, trained on chest X-rays, at 256 px."""
    return AuditConfig(extractor="rad-dino", size=256)


AUDIT: dict[str, Callable[[], AuditConfig]] = {"tiny": audit_tiny, "rad-dino": audit_rad_dino}


def tiny_lora() -> FinetuneConfig:
    """A LoRA on the embedded model: minutes on a CPU."""
    return FinetuneConfig(
        model="tiny", size=128, rank=16, alpha=16, train_text_encoder=True, max_train_steps=200, warmup=10,
        learning_rate=1e-3, validate_every=50, validation_images=8, sampling_steps=20, guidance=3.0,
    )  # fmt: skip


def dev() -> FinetuneConfig:
    """CXRGenAI's development run: its epochs, folds, batch, size and sampling steps; the rest is ours."""
    return FinetuneConfig(
        model="sd15", size=128, train_text_encoder=True, epochs=1, folds=2, batch=8, sampling_steps=20
    )


def product() -> FinetuneConfig:
    """CXRGenAI's production run: its epochs, folds, batch, size and sampling steps; the rest is ours."""
    return FinetuneConfig(
        model="sd15", size=256, train_text_encoder=True, epochs=100, folds=5, batch=48, sampling_steps=500, patience=10,
    )  # fmt: skip


def dreambooth_a100() -> FinetuneConfig:
    """Every weight of Stable Diffusion 2.1-base for one class: `--finding normal` for the other model."""
    return FinetuneConfig(
        model="sd21", method="dreambooth", finding="pneumonia", captions="instance", train_text_encoder=True,
        prior_weight=1.0, class_images=200, caption_dropout=0.0, batch=8, accumulation=2, learning_rate=5e-6,
        max_train_steps=800, warmup=100, gradient_checkpointing=True,
    )  # fmt: skip


def lora_a100() -> FinetuneConfig:
    """A large LoRA on Stable Diffusion 1.5."""
    return FinetuneConfig(model="sd15", rank=128, alpha=128, batch=16, learning_rate=1e-4, max_train_steps=1500)


# Sizes, batches (1 x 4), learning rates and steps are those of diffusers' examples/dreambooth/README_sdxl.md,
# README_sd3.md and README_sana.md, where a LoRA of rank 4 learns one subject from five photographs (Sana at 1024 px,
# here at 512). They are a start, not a result: for X-rays take more steps, a larger batch and perhaps a higher rank.
# PixArt-Sigma's are those of its authors for PixArt-Alpha (its README, "PixArt + LoRA Training"), with Sana's steps.
def lora_sdxl_a100() -> FinetuneConfig:
    """A LoRA on Stable Diffusion XL at 1024 px, with diffusers' published settings."""
    return FinetuneConfig(
        model="sdxl", size=1024, rank=4, alpha=4, batch=4, learning_rate=1e-4, schedule="constant", max_train_steps=500,
        guidance=5.0, gradient_checkpointing=True,
    )  # fmt: skip


def lora_sd35_a100() -> FinetuneConfig:
    """A LoRA on Stable Diffusion 3.5 medium, with diffusers' published settings for Stable Diffusion 3."""
    return FinetuneConfig(
        model="sd35_medium", size=512, rank=4, alpha=4, batch=4, learning_rate=4e-4, schedule="constant",
        max_train_steps=500, sampling_steps=40, guidance=4.5, gradient_checkpointing=True,
    )  # fmt: skip


def lora_pixart_a100() -> FinetuneConfig:
    """A LoRA on PixArt-Sigma, with its authors' rank, batch and learning rate."""
    return FinetuneConfig(
        model="pixart_sigma", size=1024, rank=16, alpha=16, batch=16, learning_rate=1e-6, schedule="constant",
        max_train_steps=500, sampling_steps=20, guidance=4.5, gradient_checkpointing=True,
    )  # fmt: skip


def lora_sana_a100() -> FinetuneConfig:
    """A LoRA on Sana 0.6B, with diffusers' published settings for Sana."""
    return FinetuneConfig(
        model="sana_600m", size=512, rank=4, alpha=4, batch=4, learning_rate=1e-4, schedule="constant",
        max_train_steps=500, sampling_steps=20, guidance=4.5,
    )  # fmt: skip


def distill() -> FinetuneConfig:
    """The embedded model, or another (--model), made to sample in few steps without guidance (--steps)."""
    return FinetuneConfig(
        model="tiny", method="distill", steps=4, size=128, batch=32, max_train_steps=240, warmup=20,
        learning_rate=4e-4, ema=0.99, validate_every=40, guidance=3.0,
    )  # fmt: skip


def distill_lora() -> FinetuneConfig:
    """The same as an addition to the model, of 1.3 MB."""
    return replace_fields(distill(), method="distill_lora", rank=12, alpha=12, learning_rate=1e-3)


FINETUNE: dict[str, Callable[[], FinetuneConfig]] = {
    "tiny": tiny_lora,
    "dev": dev,
    "product": product,
    "dreambooth_a100": dreambooth_a100,
    "lora_a100": lora_a100,
    "lora_sdxl_a100": lora_sdxl_a100,
    "lora_sd35_a100": lora_sd35_a100,
    "lora_pixart_a100": lora_pixart_a100,
    "lora_sana_a100": lora_sana_a100,
    "distill": distill,
    "distill_lora": distill_lora,
}


def digits() -> GanConfig:
    """scikit-learn's 1,797 digits: minutes on a CPU."""
    return GanConfig(width=32, epochs=60, batch_size=32, learning_rate=5e-4, lenet_epochs=40, checkpoint_every=10)


def mnist() -> GanConfig:
    """MNIST's 70,000 digits."""
    return GanConfig(epochs=10, batch_size=128, lenet_epochs=12, lenet_learning_rate=4e-3, checkpoint_every=1)


def pneumoniamnist() -> GanConfig:
    """PneumoniaMNIST's X-rays at 28 px."""
    return GanConfig(width=32, epochs=40, lenet_epochs=20)


GAN: dict[str, Callable[[], GanConfig]] = {"digits": digits, "mnist": mnist, "pneumoniamnist": pneumoniamnist}

THREE = (42, 123, 456)  # the guide's seeds; they find only what is large, see `study_7x3`


def study_tiny() -> StudyConfig:
    """One arm of each kind on phantoms, with their controls: minutes on a CPU."""
    return StudyConfig(
        classifier=ClassifyConfig(
            network="cnn", pretrained=False, resize=64, size=64, epochs=10, batch=32, learning_rate=2e-3
        ),
        arms=standard_arms(only=("synth_50", "synth_100", "shuffled_100", "limited_10", "synth_only")),
    )


def few() -> StudyConfig:
    """Whether synthetic pictures help beside a tenth of the real ones: minutes on a CPU."""
    return StudyConfig(
        classifier=ClassifyConfig(
            network="cnn", pretrained=False, resize=64, size=64, epochs=40, batch=32, learning_rate=2e-3
        ),
        arms=standard_arms(only=("synth_100", "shuffled_100", "limited_10", "synth_only")),
        primary="limited_10",
    )


def standard() -> StudyConfig:
    """All arms with five seeds, on GPUs."""
    return StudyConfig()


def study_7x3() -> StudyConfig:
    """All arms with the guide's three seeds, which see only large differences.

    With 80 % power they see the primary arm's difference from 3.3 standard deviations of a paired difference between
    seeds on, any other arm's from 13 on. Five seeds, as `standard` has them, see 1.7 and 3.6, eight 1.2 and 2.0.
    """
    return StudyConfig(seeds=THREE)


def limited() -> StudyConfig:
    """What synthetic pictures do where real data are few, with a set for each arm: `--synthetic ARM=URI`.

    Its generator has seen no more real data than the arm (`cxr finetune --patients`).
    """
    return StudyConfig(arms=standard_arms(only=("limited_10", "limited_25")), primary="limited_10")


def worth() -> StudyConfig:
    """What a synthetic picture is worth in real ones, read off the learning curve of 10, 25, 50 and 100 % real data.

    Of `real_25_synth_25` and `real_50_synth_50` a worth from 0 to 1 lies within the curve; of `synth_100` one above 0
    lies beyond it.
    """
    alone = [Arm(name=f"real_{share}", real=share, redraw=True) for share in (10, 25, 50)]
    within = [
        Arm(name=f"real_{share}_synth_{share}", real=share, synthetic=share, redraw=True, control=f"real_{share}")
        for share in (25, 50)
    ]
    return StudyConfig(arms=(*standard_arms(only=("synth_50", "synth_100", "shuffled_100")), *within, *alone))


def filters() -> StudyConfig:
    """What filtering does to a set of `cxr generate --accept`: accepted pictures against as many as they were made,
    and those without the refused ones against as many fewer at random."""
    return StudyConfig(arms=standard_arms(only=("synth_100", *(arm.name for arm in FILTERS))))


# Batch, epochs and rate of probes are a start, tried on features of small networks alone.
def rad_dino_probe() -> StudyConfig:
    """All arms with a linear layer on frozen features of RAD-DINO, computed once: the cheapest strong classifier."""
    return StudyConfig(
        classifier=ClassifyConfig(
            network="rad-dino", frozen=True, resize=518, size=518, crop_scale=(1, 1), flip=False, rotation=0, jitter=0,
            batch=64, learning_rate=1e-3,
        )
    )  # fmt: skip


def xrv_probe() -> StudyConfig:
    """The same on torchxrayvision's DenseNet-121, whose weights you have: --weights FILE."""
    probe = rad_dino_probe()
    classifier = probe.classifier.model_copy(update={"network": "xrv", "resize": 224, "size": 224})
    return probe.model_copy(update={"classifier": classifier})


def study_rad_dino() -> StudyConfig:
    """All arms with RAD-DINO, all of it trained further, on GPUs."""
    classifier = ClassifyConfig(network="rad-dino", resize=518, size=518, batch=32, learning_rate=1e-5, flip=False)
    return StudyConfig(classifier=classifier)


def findings10() -> StudyConfig:
    """One ResNet-18 over all findings of a set, with the report by class; three seeds."""
    classifier = ClassifyConfig(network="resnet18", flip=False)
    return StudyConfig(classifier=classifier, arms=(Arm(name=BASELINE),), seeds=THREE)


def mnist28() -> StudyConfig:
    """One ResNet-18 with a 3 x 3 stem, from scratch, at 28 px: MedMNIST's pictures on a CPU; three seeds."""
    classifier = ClassifyConfig(
        network="resnet18_28", pretrained=False, resize=28, size=28, epochs=4, learning_rate=1e-3
    )
    return StudyConfig(classifier=classifier, arms=(Arm(name=BASELINE),), seeds=THREE)


STUDY: dict[str, Callable[[], StudyConfig]] = {
    "tiny": study_tiny,
    "few": few,
    "standard": standard,
    "study_7x3": study_7x3,
    "limited": limited,
    "worth": worth,
    "filters": filters,
    "mnist28": mnist28,
    "findings10": findings10,
    "rad_dino_probe": rad_dino_probe,
    "xrv_probe": xrv_probe,
    "rad_dino": study_rad_dino,
}


# Limits are first guesses. In the embedded extractor a LoRA's images of X-rays are 20 from X-rays, phantoms 66
# (docs/results.md). Of 24 images of a finding 10 have to show it for a lower bound of 0.2, of 500 images 370 for 0.7.
# What Inception says of X-rays was not measured. Of 800 phantoms some 24 of each finding are held out, of 400 too few.
def nightly_tiny() -> NightlyConfig:
    """Phantoms and the embedded model, on a CPU."""
    return NightlyConfig(
        source="phantom:800", generate="tiny --per-finding 24", max_excess_distance=30, min_prompt_accuracy=0.2
    )


def nightly_sd15() -> NightlyConfig:
    """A public set of X-rays and a LoRA on Stable Diffusion 1.5, on GPUs."""
    return NightlyConfig(
        source="hub:hf-vision/chest-xray-pneumonia", ingest="sd15", finetune="lora_a100 --captions instance",
        generate="sd15 --per-finding 500", evaluate="inception", max_excess_distance=50, min_prompt_accuracy=0.7,
    )  # fmt: skip


NIGHTLY: dict[str, Callable[[], NightlyConfig]] = {"tiny": nightly_tiny, "sd15": nightly_sd15}


def replace_fields(config: Config, **fields: object) -> Config:
    """The configuration with other values for these fields, its own or its sampler's; checked like a new one.

    Raises:
        BadInput: a value is out of its range.
    """
    values = config.model_dump()
    sampler = values.get("sampler", {})
    of_sampler = SamplerConfig.model_fields if "sampler" in values else ()
    for name, value in fields.items():
        (sampler if name in of_sampler else values)[name] = value
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        raise cli.out_of_range(error) from None
