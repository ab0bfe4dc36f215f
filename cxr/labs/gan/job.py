"""What `jobs/gan.py` is made of: a plan, LeNet-5, the training between checkpoints, the pictures."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load, save

from cxr.artifact import Artifact
from cxr.artifact.keys import CHECKPOINTS
from cxr.artifact.kinds import GAN
from cxr.errors import BadInput
from cxr.labs.gan.checkpoints import checkpoint_key, keep_checkpoint, last_checkpoint, last_epoch
from cxr.labs.gan.config import GanConfig, identity
from cxr.labs.gan.lenet import fit_lenet, predict
from cxr.labs.gan.loop import Metrics, Trainer, train
from cxr.labs.gan.networks import LeNet5, sample
from cxr.labs.gan.pictures import COLUMNS, ROWS
from cxr.labs.gan.real import Real
from cxr.labs.gan.scoring import explain_collapse
from cxr.store import Store

LENET_KEY = "lenet.safetensors"
FRAMES = 60  # of the animation at most
WATCHED = 200  # pictures that say at a checkpoint whether the generator has collapsed

PLAN = pa.schema([("image_id", pa.string()), ("seed", pa.int64()), ("asked", pa.string())])


@dataclass(frozen=True)
class GanJob(Artifact):
    """All that is fixed before the first epoch."""

    kind = GAN
    scratch = (CHECKPOINTS,)

    config: GanConfig
    real: Real

    @property
    def conditioned_classes(self) -> int:
        """How many classes the networks are conditioned on; 0: none."""
        return len(self.real.classes) if self.config.conditional else 0

    @property
    def seeds(self) -> range:
        """Of the pictures that are kept."""
        return range(self.config.seed, self.config.seed + self.config.count)

    def asked(self, count: int) -> np.ndarray:
        """Class numbers int [count], each as often."""
        return np.arange(count) % len(self.real.classes)


def prepare(store: Store, config: GanConfig, real: Real) -> GanJob:
    """Nothing goes to the store yet.

    Raises:
        BadInput: set or place cannot be used.
    """
    recipe = identity(config, real.digest)
    job = GanJob(store, recipe, config, real)
    job.refuse_other()
    build_trainer(job)
    return job


def begin(job: GanJob) -> None:
    """Stores the plan, if it is not there."""
    torch.set_num_threads(job.config.threads)
    names = [image_id(job, seed) for seed in job.seeds]
    asked = [job.real.classes[label] if job.conditioned_classes else None for label in job.asked(len(names))]
    plan = pa.table([names, list(job.seeds), pa.array(asked, pa.string())], schema=PLAN)
    job.begin(plan)


def image_id(job: GanJob, seed: int) -> str:
    return hashlib.sha256(f"{job.digest} {seed}".encode()).hexdigest()[:32]


def build_trainer(job: GanJob) -> Trainer:
    return Trainer(job.config, *job.real.part("train"), len(job.real.classes))


def read_lenet(job: GanJob) -> LeNet5 | None:
    """The classifier, if it is trained."""
    try:
        weights = load(job.store.get(LENET_KEY))
    except KeyError:
        return None
    lenet = LeNet5(len(job.real.classes))
    lenet.load_state_dict(weights)
    return lenet


def train_lenet(job: GanJob, report: Callable[[Metrics], None]) -> LeNet5:
    lenet = fit_lenet(job.real, job.config, report)
    job.store.put(LENET_KEY, save(lenet.state_dict()))
    return lenet


@dataclass
class GanRun:
    """The training and what it has come to; all of it is in a checkpoint."""

    trainer: Trainer
    history: list[Metrics]
    frames: list[np.ndarray]  # uint8 [COLUMNS x ROWS, 28, 28], pictures of the same noise
    good: dict[str, Any] | None  # epoch and weights of the last checkpoint whose generator had not collapsed

    def state_dict(self) -> dict[str, Any]:
        frames = torch.from_numpy(np.array(self.frames, dtype=np.uint8))
        return {"trainer": self.trainer.state_dict(), "history": self.history, "frames": frames, "good": self.good}


def resume(job: GanJob) -> GanRun:
    """The run where its last checkpoint was, or at its beginning."""
    trainer, state = build_trainer(job), last_checkpoint(job.store)
    if state is None:
        return GanRun(trainer, [], [], None)
    trainer.load_state_dict(state["trainer"])
    return GanRun(trainer, state["history"], list(state["frames"].numpy()), state["good"])


def train_gan(job: GanJob, lenet: LeNet5, tell: Callable[[Metrics], None]) -> GanRun:
    """Trains to the end from where the run stands; tells the metrics of each epoch.

    Raises:
        BadInput: a loss is no number any more; the last checkpoint stays.
    """
    run = resume(job)

    def report(metrics: Metrics) -> None:
        run.history.append(metrics)
        if is_frame_epoch(run.trainer.done, job.config.epochs):
            run.frames.append(sample_fixed_noise(job, run.trainer, COLUMNS * ROWS))
        tell(metrics)

    def keep() -> None:
        if not find_collapse(job, run.trainer, lenet):
            weights = {name: value.clone() for name, value in run.trainer.generator.state_dict().items()}
            run.good = {"epoch": run.trainer.done, "generator": weights}
        keep_checkpoint(job.store, run.trainer.done, run.state_dict())

    try:
        train(run.trainer, report, keep)
    except BadInput as error:
        raise BadInput(f"{error}; {describe_checkpoint(job, run)}") from None
    return run


def describe_checkpoint(job: GanJob, run: GanRun) -> str:
    """What a run that cannot go on leaves, in words."""
    epoch, good = last_epoch(job.store), run.good["epoch"] if run.good else 0
    if not epoch:
        return "there is no checkpoint yet"
    if epoch == good:
        return f"the last good checkpoint, {checkpoint_key(epoch)}, is kept"
    before = f", and holds the generator of epoch {good}, which had not" if good else ""
    return f"the last checkpoint, {checkpoint_key(epoch)}, is kept: it had collapsed{before}"


def is_frame_epoch(epoch: int, epochs: int) -> bool:
    """Whether an epoch is one of `FRAMES` that are evenly spread up to the last."""
    return epoch * FRAMES // epochs > (epoch - 1) * FRAMES // epochs


def sample_fixed_noise(job: GanJob, trainer: Trainer, count: int) -> np.ndarray:
    """Pictures of noise that stays the same; not that of the pictures which are kept."""
    return sample(trainer.generator, range(2**62, 2**62 + count), job.asked(count), job.conditioned_classes)


def find_collapse(job: GanJob, trainer: Trainer, lenet: LeNet5) -> list[str]:
    """Why the generator counts as collapsed now, by the classes of a few pictures."""
    named = predict(lenet, sample_fixed_noise(job, trainer, WATCHED)).argmax(axis=1)
    return explain_collapse(np.bincount(named, minlength=len(job.real.classes)), job.real.counts)
