"""What a GAN would be trained on, and how long: some of its steps are timed, and nothing is stored."""

import time
from dataclasses import replace

import numpy as np
import torch

from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.job import GanJob, build_trainer
from cxr.labs.gan.lenet import fit_lenet
from cxr.labs.gan.networks import sample
from cxr.labs.gan.real import Real
from cxr.report.forecast import Forecast, about, count_words, timed

STEPS = 5  # that are timed; the one before them warms up
PROBED = 100  # pictures that are generated


def forecast(job: GanJob) -> Forecast:
    config, real = job.config, job.real
    train, steps = len(real.part("train")[0]), count_steps(config, real)
    torch.set_num_threads(config.threads)
    seconds = steps * time_step(job) + time_lenet(real, config) + config.count * time_sample(job)
    return Forecast(
        f"{len(real.pixels):,} real pictures, of which {train:,} are trained on "
        f"({count_words(dict(zip(real.classes, real.counts.tolist(), strict=True)))})",
        f"a GAN, {steps:,} steps of {config.batch_size} pictures in {config.epochs} epochs, LeNet-5 beside it, and "
        f"{config.count:,} pictures",
        "a CPU will do",
        f"{about(seconds)} on a machine like this one ({config.threads} threads), as {STEPS} steps, as many of LeNet-5 "
        f"and {PROBED} pictures took",
        seconds,
    )


def count_steps(config: GanConfig, real: Real) -> int:
    return config.epochs * (len(real.part("train")[0]) // config.batch_size)


def time_step(job: GanJob) -> float:
    """Seconds of a step of both networks."""
    trainer, noise, times = build_trainer(job), torch.Generator().manual_seed(0), []
    for _ in range(STEPS + 1):
        times.append(time.perf_counter())
        trainer.step(np.arange(job.config.batch_size), noise)
    return float(np.median(np.diff([*times[1:], time.perf_counter()])))


def time_lenet(real: Real, config: GanConfig) -> float:
    """Seconds of the whole classifier, as one epoch of so many pictures takes."""
    rows = np.flatnonzero(real.splits == "train")
    used = np.concatenate([rows[: STEPS * config.lenet_batch_size], np.flatnonzero(real.splits == "validation")[:1]])
    some = replace(real, pixels=real.pixels[used], labels=real.labels[used], splits=real.splits[used])
    one = config.model_copy(update={"lenet_epochs": 1})
    took = timed(fit_lenet, some, one, lambda metrics: None).seconds
    return took * config.lenet_epochs * len(rows) / min(len(rows), STEPS * config.lenet_batch_size)


def time_sample(job: GanJob) -> float:
    """Seconds of a picture of the generator."""
    generator = build_trainer(job).generator
    return timed(sample, generator, range(PROBED), job.asked(PROBED), job.conditioned_classes).seconds / PROBED
