"""Named complete configurations: a recipe is a function that returns one; the command line changes single fields."""

from collections.abc import Callable

from cxr.audit.config import AuditConfig
from cxr.diffusion.config import SamplerConfig
from cxr.evaluate.config import EvaluateConfig
from cxr.generate.config import TINY_SIZE, GenerateConfig
from cxr.ingest.config import IngestConfig
from cxr.labs.gan.config import GanConfig
from cxr.nightly.config import NightlyConfig
from cxr.pretrain.config import ExtractorConfig, PretrainConfig
from cxr.recipes.fields import replace_fields
from cxr.recipes.finetuning import FINETUNE
from cxr.recipes.studies import STUDY


def tiny() -> GenerateConfig:
    """The embedded model on phantoms' findings: minutes on a CPU. 12 steps are as good as 30 by docs/speed.md."""
    return GenerateConfig(model="tiny", sampler=SamplerConfig(size=TINY_SIZE, steps=12, guidance=3.0), per_finding=16)


def tiny_fast() -> GenerateConfig:
    """The same in 4 steps of one pass each, by the embedded LoRA; what it gains and loses is in docs/speed.md."""
    sampler = SamplerConfig(size=TINY_SIZE, steps=4, guidance=1.0, solver="ddim")
    return replace_fields(tiny(), lora="tiny_fast", sampler=sampler.model_dump())


# 30 steps and guidance 7.5, those of `SamplerConfig`, were not measured on X-rays: `--steps` and an evaluation tell.
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
    "tiny_fast": tiny_fast,
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
