"""What pretraining would make, and how long: some steps of each stage are timed, and nothing is stored."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from diffusers import StableDiffusionPipeline

from cxr.classify.best_of import small_config
from cxr.classify.config import ClassifyConfig
from cxr.classify.speed import measure_speed
from cxr.classify.task import OneFinding
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.latents import latent_moments
from cxr.diffusion.sampler import Sampler
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.pretrain.build import draw_training_phantom
from cxr.pretrain.config import ExtractorConfig, PretrainConfig
from cxr.pretrain.denoiser import make_scheduler, make_unet, train_denoiser
from cxr.pretrain.text import AttributeHead, make_text_encoder, sample_captions, train_text_encoder, train_tokenizer
from cxr.pretrain.vae import train_vae
from cxr.prompts.findings import FINDINGS
from cxr.ranks import device_name
from cxr.report.forecast import Forecast, about, timed

STEPS = 4  # of each stage that are timed; one before them warms up
PROBED = 16  # phantoms

Report = Callable[[dict[str, float]], None]


def forecast(config: PretrainConfig | ExtractorConfig, sampler: SamplerConfig, samples: int) -> Forecast:
    """Args:
    sampler: with which the closing tests of a model sample it; samples: how many pictures of it these take.
    """
    if isinstance(config, ExtractorConfig):
        return forecast_extractor(config)
    made, text, denoiser = config.vae, config.text, config.denoiser
    seconds = time_stages(config, sampler, samples)
    trained = f"an autoencoder ({made.steps:,} steps of {made.batch} pictures), " if config.start is None else ""
    return Forecast(
        f"{config.start or 'nothing'}; it draws {config.phantoms:,} phantoms of {config.size} px",
        f"{trained}a text encoder ({text.steps:,} steps of {text.batch} captions), a UNet ({denoiser.steps:,} of "
        f"{denoiser.batch}), and {samples:,} pictures to test it",
        f"{config.phantoms * config.size**2 / 1e6:,.0f} MB of memory for pictures; no GPU is used",
        f"{about(seconds)} from the start ({device_name()}), as {STEPS} steps of each "
        "stage took; a folder that has some stages already needs less, and the classifiers of the tests come on top",
        seconds,
    )


def time_stages(config: PretrainConfig, sampler: SamplerConfig, samples: int) -> float:
    """Seconds of drawing, of the three trainings, of encoding, and of sampling the model."""
    rng = np.random.default_rng(config.seed)
    draw = partial(draw_training_phantom, config.seed, size=config.size, several=config.several)
    drawn = timed(lambda: [draw(number) for number in range(PROBED)])
    pixels = np.stack([one.pixels for one in drawn.result])
    few = {"steps": STEPS + 1}
    vae_step, vae = time_steps(partial(train_vae, config.vae.model_copy(update=few), pixels, rng))
    tokenizer = train_tokenizer(config.text, sample_captions(PROBED, config.several, rng)[0])
    encoder = make_text_encoder(config.text, tokenizer)
    head, text = AttributeHead(encoder.config.hidden_size), config.text.model_copy(update=few)
    text_step, _ = time_steps(partial(train_text_encoder, text, tokenizer, encoder, head, config.several, rng))
    encoded = timed(latent_moments, vae, pixels)
    unet = make_unet(config.denoiser, config.vae.latent_channels, encoded.result[0].shape[-1], config.text.width)
    denoiser, shown = config.denoiser.model_copy(update=few), [one.attributes for one in drawn.result]
    step, _ = time_steps(partial(train_denoiser, denoiser, tokenizer, encoder, encoded.result, shown, unet, rng))
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet, scheduler=make_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    sample = Sampler(StableDiffusion(pipe), sampler).seconds_an_image()
    trainings = 0 if config.start else config.vae.steps * vae_step
    trainings += config.text.steps * text_step + config.denoiser.steps * step
    return (drawn.seconds + encoded.seconds) / PROBED * config.phantoms + trainings + samples * sample


def time_steps(train: Callable[[Report], object]) -> tuple[float, object]:
    """Seconds of a step, and what the training gives."""
    times: list[float] = []
    result = train(lambda metrics: times.append(time.perf_counter()))
    return float(np.median(np.diff(times))), result


def forecast_extractor(config: ExtractorConfig) -> Forecast:
    settings: ClassifyConfig = small_config(config.epochs, config.size)
    steps, shown = settings.steps(2 * config.phantoms), config.phantoms + 2 * config.fresh
    draw = partial(draw_training_phantom, config.seed, size=config.size, several=0.0)
    drawn = timed(lambda: [draw(number) for number in range(PROBED)]).seconds / PROBED
    speed = measure_speed(settings, OneFinding(len(FINDINGS)))
    predicted = 2 * config.fresh * (config.epochs + 1)
    seconds = drawn * shown + steps * speed.step + predicted * speed.prediction
    return Forecast(
        f"nothing; it draws {shown:,} phantoms of {config.size} px, each also in another appearance",
        f"a classifier of {len(FINDINGS)} findings, {steps:,} steps, whose features are the extractor",
        f"{2 * shown * config.size**2 / 1e6:,.0f} MB of memory for pictures; a GPU helps",
        f"{about(seconds)} ({device_name()}), as {PROBED} phantoms and some steps took",
        seconds,
    )
