"""A worker that distils: the teacher's ways are followed and stored first, then the one training loop runs on them."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.precision import pick_dtype
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.finetune.distill import (
    PARTS,
    JumpSchedule,
    LandingObjective,
    Trajectories,
    draw_noise,
    follow_teacher,
    landing_distance,
    pick_captions,
)
from cxr.finetune.loop import Trainer
from cxr.finetune.runs import TRAJECTORIES
from cxr.finetune.validation import Sample, Validation
from cxr.finetune.worker import FinetuneWorker, Part, Tell, spread_evenly
from cxr.ranks import Ranks

PIECE = 16  # noises that are followed together, and stored


class DistillTrainer(Trainer):
    """Trains a student on its teacher's trajectories; otherwise a `Trainer`, which sees no picture."""

    def __init__(
        self, model: DiffusionModel, config: FinetuneConfig, paths: Trajectories, recipe: dict[str, Any] | None = None,
        ranks: Ranks = Ranks(),  # noqa: B008
    ) -> None:  # fmt: skip
        self.paths = paths
        unseen = CaptionedImages(np.empty((len(paths), 0, 0), np.uint8), paths.captions)
        super().__init__(model, config, unseen, recipe=recipe, ranks=ranks)

    def prepare_objective(self, instances: CaptionedImages, classes: CaptionedImages | None) -> None:
        config = self.config
        self.objective = LandingObjective(self.model, self.paths, config.cache, self.precision)
        self.draw_schedule = JumpSchedule(config, self.paths.captions, self.steps)


class DistillValidation(Validation):
    """As `Validation`, but `mse` is the distance to where the teacher ended, in latents."""

    def __init__(self, paths: Trajectories, *args: Any) -> None:
        super().__init__(*args)
        self.paths = paths

    @torch.no_grad()
    def denoising_error(self) -> float:
        return landing_distance(self.objective.model, self.paths, self.config.few_steps, self.config.batch)


@dataclass(frozen=True)
class DistillWorker(FinetuneWorker):
    paths: dict[str, Trajectories] = field(default_factory=dict)  # by part, once they are followed

    def make_trainer(self, model: DiffusionModel, plan: pa.Table, sample: Sample, ranks: Ranks, tell: Tell) -> Trainer:
        shown = {"validation": self.config.validation_images, "test": self.config.test_images}
        for part in PARTS:
            rows = spread_evenly(plan.filter(pc.equal(plan["split"], part)), shown.get(part))
            captions = rows["caption"].to_pylist()
            if part == "train":
                captions = pick_captions(captions, self.config)
                if ranks.rank == 0:
                    tell({"note": f"the base is followed from {len(captions):,} noises, which is stored"})
            if captions:
                self.paths[part] = self.follow(model, part, captions, ranks)
        return DistillTrainer(model, self.config, self.paths["train"], self.recipe, ranks)

    def make_validation(self, trainer: Trainer, part: Part, images: CaptionedImages, sample: Sample) -> Validation:
        return DistillValidation(self.paths[part], trainer, images, sample, self.distance())

    def follow(self, model: DiffusionModel, part: str, captions: list[str], ranks: Ranks) -> Trajectories:
        """The teacher's ways for the captions, a piece a time; workers share those that are not stored yet."""
        config, shape = self.config, model.latent_shape(self.config.size, self.config.size)
        precision = pick_dtype(config.precision, "sample", model.device)
        pieces = [range(first, min(first + PIECE, len(captions))) for first in range(0, len(captions), PIECE)]
        keys = [f"{TRAJECTORIES}{part}/{number:06d}.npy" for number in range(len(pieces))]
        for key, piece in list(zip(keys, pieces, strict=True))[ranks.rank :: ranks.size]:
            if not self.store.exists(key):
                asked, noise = [captions[number] for number in piece], draw_noise(config, part, piece, shape)
                self.store.put(key, encode(follow_teacher(model, asked, noise, config.guidance, precision)))
        ranks.all_reduce([torch.zeros(1, device=model.device)])  # until all are there
        return Trajectories(np.concatenate([decode(self.store.get(key)) for key in keys]), captions)


def encode(values: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, values)
    return data.getvalue()


def decode(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)
