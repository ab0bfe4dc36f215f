"""What fine-tuning would make, and how long it would take: a few of its real steps are timed, and nothing is stored."""

import time
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch

from cxr.data.catalog import read_images
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.family import DiffusionModel, family_of
from cxr.diffusion.sampler import Sampler
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import TEACHER_STEPS
from cxr.finetune.distill import Trajectories, pick_captions
from cxr.finetune.distill_worker import DistillTrainer
from cxr.finetune.job import FinetuneJob, count_steps
from cxr.finetune.loop import Trainer
from cxr.finetune.privacy import PatientDraws
from cxr.finetune.runs import FINAL, rows_of_run
from cxr.finetune.worker import explain_out_of_memory
from cxr.ranks import device_name
from cxr.report.forecast import Forecast, about

PROBED = 2  # steps; the one before them also encodes, and warms up


@dataclass(frozen=True)
class Seconds:
    """That parts of the work take."""

    step: float  # on pictures that are encoded
    encoding: float  # of a picture; 0 where each step encodes anew
    sample: float  # of a picture
    teacher: float = 0.0  # to follow it from a noise; 0 where nothing is distilled


def forecast(job: FinetuneJob) -> Forecast:
    config, steps = job.config, {run: count_steps(job, run) for run in job.runs}
    parts, rows = Counter(job.plan["split"].to_pylist()), config.batch * config.accumulation
    captions = len(set(job.plan["caption"].to_pylist()))
    what = f"a LoRA of rank {config.rank}" if config.trains_lora else "a whole model"
    pictures = "steps of the base" if config.distills else "pictures"
    folds = f" and {len(steps) - 1} folds" if len(steps) > 1 else ""
    passes = sum(steps.values()) * rows
    forward = 2 * TEACHER_STEPS * (config.noises + config.validation_images)
    teacher = f", and {forward:,} of the base without" if config.distills else ""
    with explain_out_of_memory(config):
        seconds = add_up(job, probe(job))
    most = " at most, as it may stop earlier," if config.patience else ""
    return Forecast(
        f"{parts['train']:,} training and {parts['validation']:,} validation pictures with {captions:,} different "
        f"captions, and the model {job.model.spec}",
        f"{what} for {job.model.spec}{folds}: {sum(steps.values()):,} steps of {rows} {pictures} at {config.size} px, "
        f"validated every {config.validate_every}",
        f"{passes:,} passes of a picture through the network and back{teacher}; for a model of Stable Diffusion's "
        "size a GPU",
        f"{about(seconds)}{most} on one worker like this machine's ({device_name()}), as {PROBED} of its steps and two "
        "short batches of samples took",
        seconds,
    )


def add_up(job: FinetuneJob, seconds: Seconds) -> float:
    """All runs one after the other: steps, pictures to encode, and the samples of validations and of the test."""
    config, total = job.config, 0.0
    for run in job.runs:
        trained, validated = rows_of_run(job.plan, run, config.folds)
        steps = count_steps(job, run)
        sampled = (1 + -(-steps // config.validate_every)) * min(config.validation_images, len(validated))
        if run == FINAL:
            sampled += min(config.test_images, job.plan["split"].to_pylist().count("test"))
        total += steps * seconds.step + len(trained) * seconds.encoding + sampled * seconds.sample
    return (
        total + seconds.teacher * config.noises + seconds.sample * (config.class_images if config.prior_weight else 0)
    )


def probe(job: FinetuneJob) -> Seconds:
    """Trains the real model on some of the real pictures, as many as a step takes."""
    config, model = job.config, family_of(job.model.path).load(job.model.path, torch.float32)
    sampler, teacher = Sampler(model, config.sampler), 0.0
    if config.distills:
        many = SamplerConfig(size=config.size, steps=TEACHER_STEPS, guidance=config.guidance)
        teacher = Sampler(model, many).seconds_an_image()
    trainer = build_trainer(job, model)
    trainer.step()
    start = time.perf_counter()
    for _ in range(PROBED):
        trainer.step()
    step = (time.perf_counter() - start) / PROBED
    if config.distills:
        with trainer.averaged():
            return Seconds(step, 0.0, sampler.seconds_an_image(), teacher)
    pictures = trainer.objective.images.pixels
    keys = [(row, False) for row in range(min(len(pictures), config.batch))]
    start = time.perf_counter()
    trainer.objective.encode(keys).cpu()
    encoding = (time.perf_counter() - start) / len(keys) if config.cache else 0.0
    with trainer.averaged():
        return Seconds(step, encoding, sampler.seconds_an_image())


def build_trainer(job: FinetuneJob, model: DiffusionModel) -> Trainer:
    """Of as many pictures as a step takes: each step has all of them, and with privacy all patients."""
    config, (rows, _) = job.config, rows_of_run(job.plan, FINAL, job.config.folds)
    if config.distills:
        shape = (config.noises, TEACHER_STEPS + 1, *model.latent_shape(config.size, config.size))
        captions = pick_captions(rows["caption"].to_pylist(), config)
        return DistillTrainer(model, config, Trajectories(np.broadcast_to(np.float32(0.5), shape), captions))
    count = config.batch * config.accumulation
    if job.privacy:
        patient_of = dict(zip(*(job.data.table[name].to_pylist() for name in ("image_id", "patient_id")), strict=True))
        _, owners = np.unique([patient_of[image] for image in rows["image_id"].to_pylist()], return_inverse=True)
        rows = rows.filter(pa.array(owners < count))
        crowd = replace(job.privacy, patients=count, sampling_rate=1.0)
        from cxr.finetune.private_trainer import PrivateTrainer  # Opacus takes seconds to import

        draws = PatientDraws(crowd, owners[owners < count], secret=0)
        return PrivateTrainer(model, config, read_captioned(job, rows), draws)
    images = read_captioned(job, rows.slice(0, count))
    return Trainer(model, config, images, images if config.prior_weight else None)


def read_captioned(job: FinetuneJob, rows: pa.Table) -> CaptionedImages:
    return CaptionedImages(read_images(job.data.store, rows, job.config.size), rows["caption"].to_pylist())
