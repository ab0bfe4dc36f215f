"""What a worker does: it trains one run from where it stands to its end, and stores what that leaves."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import torch

from cxr.artifact.keys import PLAN_KEY, RECORD_KEY
from cxr.data.catalog import read_images
from cxr.diffusion.family import DiffusionModel, family_of
from cxr.diffusion.sampler import Sampler
from cxr.errors import BadInput
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.checkpoints import load_best, resume, store_checkpoint
from cxr.finetune.config import FinetuneConfig, Metrics, advise_less_memory
from cxr.finetune.loop import Trainer, run_validation, train
from cxr.finetune.prior import make_class_images
from cxr.finetune.privacy import PatientDraws
from cxr.finetune.runs import FINAL, SAMPLES, Result, result_key, rows_of_run
from cxr.finetune.validation import Distance, Sample, Validation
from cxr.ranks import Ranks, device_name
from cxr.store import Store, StoredObject, open_store, put_file, put_folder, read_parquet
from cxr.store.file_cache import cache_folder
from cxr.weights import resolve, resolve_lora

FOLDS = "folds/"
Tell = Callable[[dict[str, Any]], None]
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class FinetuneWorker:
    """One worker's training, sent to it with places and settings, no weights.

    `distance` comes from the command, because the stages do not know one another.
    """

    store: Store
    data: Store
    config: FinetuneConfig
    recipe: dict[str, Any]
    run: str
    threads: int
    distance: Callable[[], Distance]
    patients: PatientDraws | None = None  # of a private training

    def __call__(self, tell: Tell) -> None:
        """Trains the run to its end from where it stands, and stores what it leaves; tells the metrics of each step."""
        if not self.store.exists(result_key(self.run)):
            with explain_out_of_memory(self.config):
                self.train_to_the_end(tell)

    def train_to_the_end(self, tell: Tell) -> None:
        torch.set_num_threads(self.threads)
        plan = read_parquet(self.store.get(PLAN_KEY))
        ranks, model = Ranks.here(), self.load_model()
        sample = sampling(model, self.config)
        trainer = self.make_trainer(model, plan, sample, ranks, tell)
        _, validated = rows_of_run(plan, self.run, self.config.folds)
        shown = self.read_images(validated, self.config.validation_images)
        validation = self.make_validation(trainer, "validation", shown, sample)
        history = self.train(trainer, validation, tell)
        if ranks.rank == 0 and not self.store.exists(RECORD_KEY):  # else another driver's model is there
            self.save_final(trainer, sample, history, plan, tell)

    def make_trainer(self, model: DiffusionModel, plan: pa.Table, sample: Sample, ranks: Ranks, tell: Tell) -> Trainer:
        config, images = self.config, self.read_images(rows_of_run(plan, self.run, self.config.folds)[0])
        if config.epsilon is not None:
            from cxr.finetune.private_trainer import PrivateTrainer  # Opacus takes seconds to import

            if self.patients is None:
                raise ValueError(f"{self.run}: a private training needs to know whose pictures it has")
            return PrivateTrainer(model, config, images, self.patients, self.recipe, ranks)
        classes = None
        if config.prior_weight:
            store, digest = open_store(str(cache_folder().parent)), self.recipe["model"]
            classes = ranks.broadcast_from_first(lambda: make_class_images(config, digest, sample, store))
        return Trainer(model, config, images, classes, self.recipe, ranks)

    def make_validation(self, trainer: Trainer, part: Part, images: CaptionedImages, sample: Sample) -> Validation:
        """Of some pictures of the part."""
        return Validation(trainer, images, sample, self.distance())

    def load_model(self) -> DiffusionModel:
        model, lora = resolve(self.config.model), resolve_lora(self.config.lora) if self.config.lora else None
        for option, found in (("model", model), ("lora", lora)):
            if found and found.digest != self.recipe[option]:
                raise BadInput(f"--{option} {found.spec}: this machine has other weights of that name than the driver")
        family = family_of(model.path)
        return family.load(model.path, torch.float32, family.read_lora(model.path, lora.path) if lora else None)

    def read_images(self, rows: pa.Table, count: int | None = None) -> CaptionedImages:
        rows = spread_evenly(rows, count)
        return CaptionedImages(read_images(self.data, rows, self.config.size), rows["caption"].to_pylist())

    def train(self, trainer: Trainer, validation: Validation, tell: Tell) -> list[Metrics]:
        """Returns the metrics of every step, from the first one on."""
        first = trainer.ranks.rank == 0
        history = resume(self.store, self.run, trainer)

        def report(metrics: Metrics) -> None:
            history.append(metrics)
            if first:
                tell({"run": self.run, **metrics})

        def keep(best: bool) -> None:
            if first:
                self.store.put(f"{SAMPLES}{self.run}/{trainer.done:08d}.png", validation.draw_grid())
                store_checkpoint(self.store, self.run, trainer, history, best)

        if not history:
            with trainer.averaged():
                report({"step": 0, **trainer.ranks.broadcast_from_first(lambda: run_validation(validation, 0))})
        train(trainer, validation, report, keep)
        return history

    def save_final(self, trainer: Trainer, sample: Sample, history: list[Metrics], plan: pa.Table, tell: Tell) -> None:
        """Stores the best model, and how it does on the test part if it is the final one; the result last."""
        load_best(self.store, self.run, trainer)
        step = trainer.selection.step
        if step is None:
            raise ValueError(f"{self.run}: no validation, so there is no best model to leave")
        epoch = -(-step * self.config.batch * self.config.accumulation // trainer.units)
        test: Metrics = {}
        with trainer.averaged(), tempfile.TemporaryDirectory() as folder:
            if self.run == FINAL:
                trainer.model.save(self.config, Path(folder))
                objects = put_folder(self.store, "", Path(folder))
                tested = plan.filter(pc.equal(plan["split"], "test"))
                if len(tested):
                    shown = self.read_images(tested, self.config.test_images)
                    tell({"note": f"the kept model is tested on {len(shown)} pictures, which it samples"})
                    test = run_validation(self.make_validation(trainer, "test", shown, sample), step)
            else:
                objects = self.save_fold(trainer, f"best_model_{self.run}_epoch{epoch}", Path(folder))
        base, best = history[0], next(metrics for metrics in history if metrics["step"] == step)
        scores, scores_before = ({name: f[name] for name in base if name != "step"} for f in (best, base))
        result = Result(step, epoch, scores, scores_before, test, objects, history, device_name())
        self.store.put(result_key(self.run), json.dumps(asdict(result)).encode())

    def save_fold(self, trainer: Trainer, name: str, folder: Path) -> list[StoredObject]:
        """The fold's model as a folder and as a .zip, under the name that users of the notebooks know."""
        trainer.model.save(self.config, folder / name)
        archive = shutil.make_archive(str(folder / name), "zip", folder, name)
        return [
            *put_folder(self.store, f"{FOLDS}{name}/", folder / name),
            put_file(self.store, f"{FOLDS}{name}.zip", Path(archive)),
        ]


def sampling(model: DiffusionModel, config: FinetuneConfig) -> Sample:
    """Pictures of the model in training, as `generate` would make them."""
    sampler = Sampler(model, config.sampler)
    return lambda prompts, seeds: sampler(prompts, [""] * len(prompts), seeds)


def spread_evenly(rows: pa.Table, count: int | None) -> pa.Table:
    """All rows, or `count` of them evenly spread."""
    if count is None or count >= len(rows):
        return rows
    return rows.take([round(i * (len(rows) - 1) / max(count - 1, 1)) for i in range(count)])


@contextlib.contextmanager
def explain_out_of_memory(config: FinetuneConfig) -> Iterator[None]:
    """The one error of every size that is too large, with what to change; a CPU's allocator has no type for it."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise BadInput(f"out of memory: {advise_less_memory(config)}") from None
