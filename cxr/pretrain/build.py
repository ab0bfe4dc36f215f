"""The stages of pretraining, in order; each leaves its part in the model's folder, and a restart goes on after it."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from cxr.diffusion.latents import latent_moments
from cxr.embedded.phantoms import Phantom, draw_visit, sample_visit
from cxr.errors import BadInput
from cxr.pretrain.config import PretrainConfig
from cxr.pretrain.denoiser import make_scheduler, make_unet, train_denoiser
from cxr.pretrain.text import AttributeHead, make_text_encoder, sample_captions, train_text_encoder, train_tokenizer
from cxr.pretrain.vae import train_vae
from cxr.progress import Advance, progress
from cxr.prompts.findings import SEVERAL, Attributes, sample_attributes, sample_combination
from cxr.weights import resolve, strip_local_paths

CORPUS = 20_000  # captions that the tokenizer is trained on
VAE_STREAM, TEXT_STREAM, DENOISER_STREAM = 1, 2, 3  # last word of a stage's seed
COMBINATION_STREAM = 5  # last word of a phantom's seed; cxr.embedded.phantoms and the source have 1 to 4


def draw_phantoms(draw: Callable[[int], Phantom], count: int, size: int) -> tuple[np.ndarray, list[Attributes]]:
    """The first `count` phantoms of a series: uint8 [count, size, size] and what each shows.

    Args:
        draw: from a number to a phantom of `size` pixels; runs in other processes.
    """
    pixels = np.empty((count, size, size), np.uint8)
    attributes: list[Attributes] = []
    with ProcessPoolExecutor() as pool, progress("phantoms", count, "pictures") as advance:
        for i, drawn in enumerate(pool.map(draw, range(count), chunksize=50)):
            pixels[i] = drawn.pixels
            attributes.append(drawn.attributes)
            advance()
    return pixels, attributes


def draw_training_phantom(seed: int, number: int, size: int, several: float, independent: float = 0) -> Phantom:
    """A phantom of the balanced series, or of the same patient one with several patterns: by the chance `several` with
    two or three of all, by the chance `independent` with each of `SEVERAL` or not, by the toss of a coin."""
    patient, attributes, rng = sample_visit(seed, number)
    draws = np.random.default_rng([seed, number, COMBINATION_STREAM])
    drawn = draws.random()
    if drawn < several + independent:
        if drawn < several:
            findings = sample_combination(draws)
        else:
            findings = tuple(name for name in SEVERAL if draws.random() < 0.5)
        attributes = sample_attributes(findings, patient.sex, patient.age, draws)
    return draw_visit(patient, attributes, rng, size)


def build(config: PretrainConfig, folder: Path) -> None:
    """Trains a StableDiffusionPipeline from phantoms and leaves it in `folder`, half precision, as safetensors.

    Raises:
        BadInput: the model to go on from draws pictures of another size.
    """
    start = find_start(config)
    draw = partial(
        draw_training_phantom, config.seed, size=config.size, several=config.several, independent=config.independent
    )
    pixels, attributes = draw_phantoms(draw, config.phantoms, config.size)
    vae = load_or_train_vae(config, start, pixels, folder / "vae")
    tokenizer, encoder = load_or_train_text(config, start, folder)
    mean, std = latent_moments(vae, pixels)
    scale, rng = vae.config.scaling_factor, stage_rng(config, DENOISER_STREAM)
    if start:
        unet = UNet2DConditionModel.from_pretrained(start / "unet", local_files_only=True)
    else:
        unet = make_unet(config.denoiser, config.vae.latent_channels, mean.shape[-1], config.text.width)
    with progress("denoiser", config.denoiser.steps, "steps") as advance:
        moments, report = (mean * scale, std * scale), show_metrics(advance)
        train_denoiser(config.denoiser, tokenizer, encoder, moments, attributes, unet, rng, report)
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet, scheduler=make_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    strip_local_paths(folder)


def find_start(config: PretrainConfig) -> Path | None:
    """The folder of the model to go on from; `BadInput` unless its pictures have the recipe's size."""
    if config.start is None:
        return None
    folder = resolve(config.start).path
    size = AutoencoderKL.load_config(folder / "vae", local_files_only=True)["sample_size"]
    if size != config.size:
        raise BadInput(f"--start {config.start}: its pictures have {size} pixels a side; give --size {size}")
    return folder


def stage_rng(config: PretrainConfig, stream: int) -> np.random.Generator:
    """A stage's own draws; also seeds torch, whose constructors draw the first weights from its global state.

    So a stage gives the same weights whether the stages before it ran just now or were found finished.
    """
    torch.manual_seed(config.seed)
    return np.random.default_rng([config.seed, stream])


def load_or_train_vae(config: PretrainConfig, start: Path | None, pixels: np.ndarray, folder: Path) -> AutoencoderKL:
    if start:
        folder = start / "vae"
    elif not (folder / "config.json").exists():
        rng = stage_rng(config, VAE_STREAM)
        with progress("autoencoder", config.vae.steps, "steps") as advance:
            train_vae(config.vae, pixels, rng, show_metrics(advance)).save_pretrained(folder)
    return AutoencoderKL.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)


def load_or_train_text(config: PretrainConfig, start: Path | None, folder: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    states = folder / "text_encoder"
    if not (states / "config.json").exists():
        rng = stage_rng(config, TEXT_STREAM)
        if start:
            tokenizer, encoder = load_text(start)
        else:
            tokenizer = train_tokenizer(config.text, sample_captions(CORPUS, config.several, rng)[0])
            encoder = make_text_encoder(config.text, tokenizer)
        head = AttributeHead(encoder.config.hidden_size)
        with progress("text encoder", config.text.steps, "steps") as advance:
            train_text_encoder(config.text, tokenizer, encoder, head, config.several, rng, show_metrics(advance))
        tokenizer.save_pretrained(folder / "tokenizer")
        encoder.save_pretrained(states)
    tokenizer, encoder = load_text(folder)
    return tokenizer, encoder.eval().requires_grad_(False)


def load_text(folder: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, local_files_only=True)
    return CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True), encoder


def show_metrics(advance: Advance):
    """A `report` that shows the metrics behind the progress."""
    return lambda metrics: advance(1, " ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
