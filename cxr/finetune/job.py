"""What `jobs/finetune.py` is made of, without Ray: from a split set to a plan, and a worker's part."""

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from diffusers import StableDiffusionPipeline

from cxr.artifact import Artifact
from cxr.artifact.keys import CHECKPOINTS, PLAN_KEY, RECORD_KEY
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.data.catalog import CatalogSet, read_images
from cxr.data.lineage import Lineage, hashed_id, merge_lineages, pseudonymise, warn_of_hashed_ids
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import attach_lists, read_lists
from cxr.diffusion.adapters import check_size, load_base, save
from cxr.diffusion.tokens import count_too_long
from cxr.diffusion.whole_model import check_networks
from cxr.errors import BadInput
from cxr.finetune.batches import Pictures
from cxr.finetune.captions import Row, captions_of, chosen_rows
from cxr.finetune.checkpoints import go_on, keep_checkpoint, load_best, read_note
from cxr.finetune.config import FinetuneConfig, identity, total_steps
from cxr.finetune.loop import Figures, Trainer, check_batch, measured, train
from cxr.finetune.part import Names, named_part, of_part
from cxr.finetune.prior import class_pictures
from cxr.finetune.validation import FEWEST_FOR_KID, Distance, Sample, Validation
from cxr.ranks import Ranks, device_name
from cxr.store import Store, StoredObject, open_store, put_file, put_folder
from cxr.store.file_cache import cache_folder
from cxr.weights import Weights, resolve

FINAL = "final"  # the run whose model is left; the others are folds
RESULTS, SAMPLES, FOLDS = "results/", "samples/", "folds/"

PLAN = pa.schema(
    [
        ("image_id", pa.string()),
        ("key", pa.string()),
        ("sha256", pa.string()),
        ("finding", pa.string()),
        ("caption", pa.string()),
        ("split", pa.string()),
        ("fold", pa.int32()),
    ]
)

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job(Artifact):
    """All that is fixed before the first step."""

    kind = FINE_TUNED_MODEL
    scratch = (CHECKPOINTS, RESULTS)

    data: CatalogSet
    config: FinetuneConfig
    model: Weights
    plan: pa.Table  # of schema PLAN

    @property
    def runs(self) -> list[str]:
        """The folds, if there are any, and the final one."""
        folds = self.config.folds if self.config.folds > 1 else 0
        return [*(f"fold{number}" for number in range(1, folds + 1)), FINAL]


def prepare(
    store: Store, data: CatalogSet, config: FinetuneConfig, note: Callable[[str], None], names: Names = None
) -> Job:
    """Resolves the weights and draws up the plan, see `of_part` for `names`; nothing goes to the store yet.

    Raises:
        BadInput: set, model or place cannot be used.
    """
    rows = chosen_rows(of_part(data.table.to_pylist(), config, names), config.finding)
    plan = planned(rows, captions_of(rows, config, note), data.store.uri, config.folds)
    model = resolve(config.model)
    check_networks(model)
    check_size(model.path, config.size)
    if longer := count_too_long(plan["caption"].to_pylist(), model.path / "tokenizer"):
        note(f"{longer} of {len(plan)} captions are longer than the text encoder reads; their ends have no effect")
    recipe = identity(config, model.digest, data.digest) | (named_part(names) if names else {})
    job = Job(store, recipe, data, config, model, plan)
    job.refuse_other()
    for run in job.runs:
        train_rows, validation_rows = parts_of(plan, run, config.folds)
        check_batch(config, len(train_rows))
        if not len(validation_rows):
            raise BadInput(f"{data.store.uri}: no validation picture of these findings; split the set anew")
        if config.select == "kid" and min(len(validation_rows), config.validation_images) < FEWEST_FOR_KID:
            raise BadInput(f"--select kid: needs {FEWEST_FOR_KID} validation pictures, {run} has one; choose another")
    seen_of(job)  # now, because a key that cannot be had would be missed when all is trained
    warn_of_hashed_ids(model.place, model.seen)
    return job


def seen_of(job: Job) -> Lineage:
    """Whom the model is trained on or chosen by, and whom its base was. Raises as `owner_key`."""
    if job.model.seen is None:
        return None
    base = attach_lists(job.model.seen, read_lists(open_store(job.model.place)) if job.model.seen else {})
    return merge_lineages(base, (pseudonymise(plain_names(job), owner_key()),))


def plain_names(job: Job) -> set[str]:
    """Of the patients whom the model is trained on or chosen by, see `hashed_id`; never stored."""
    used = job.plan.filter(pc.not_equal(job.plan["split"], "test"))["image_id"]
    rows = job.data.table.filter(pc.is_in(job.data.table["image_id"], used.combine_chunks()))
    return set(map(hashed_id, rows["patient_id"].to_pylist(), rows["image_id"].to_pylist()))


def planned(rows: Sequence[Row], captions: Sequence[str], uri: str, folds: int) -> pa.Table:
    """The plan's rows in the catalog's order."""
    if any(row["split"] is None for row in rows):
        raise BadInput(f"{uri}: its pictures are not split into train, validation and test; jobs/ingest.py does that")
    held = 1 + max((row["fold"] for row in rows if row["fold"] is not None), default=-1)
    if folds > max(held, 1):
        raise BadInput(f"--folds {folds}: the set has {held} folds; give fewer, or ingest it with --folds {folds}")
    told = [{**row, "caption": caption} for row, caption in zip(rows, captions, strict=True)]
    return pa.Table.from_pylist(told, schema=PLAN)


def parts_of(plan: pa.Table, run: str, folds: int) -> tuple[pa.Table, pa.Table]:
    """What a run trains on and what it is measured on; a set of more folds than are asked for has them joined."""
    trained = plan.filter(pc.equal(plan["split"], "train"))
    if run == FINAL:
        return trained, plan.filter(pc.equal(plan["split"], "validation"))
    held_out = pa.array([fold % folds == int(run[len("fold") :]) - 1 for fold in trained["fold"].to_pylist()])
    return trained.filter(pc.invert(held_out)), trained.filter(held_out)


def result_key(run: str) -> str:
    return f"{RESULTS}{run}.json"


@dataclass(frozen=True)
class Result:
    """What a run has come to."""

    step: int  # of the best validation
    epoch: int
    scores: Figures  # of that validation
    base: Figures  # the same before the first step
    test: Figures  # of the final run; touched this once
    objects: list[StoredObject]
    history: list[Figures]
    device: str


def read_result(store: Store, run: str) -> Result | None:
    try:
        told = json.loads(store.get(result_key(run)))
    except KeyError:
        return None
    return Result(**{**told, "objects": [StoredObject(**stored) for stored in told["objects"]]})


def steps_of(job: Job, run: str) -> int:
    """How many steps the run has."""
    return total_steps(job.config, len(parts_of(job.plan, run, job.config.folds)[0]))


def steps_done(job: Job, run: str) -> int:
    """How many of them need not be done again."""
    result = read_result(job.store, run)
    return int(result.history[-1]["step"]) if result else read_note(job.store, run).step


@dataclass(frozen=True)
class Fit:
    """A worker's part; travels to it with places and settings, no weights.

    `sampler` and `distance` come from the job, because the stages do not know one another.
    """

    store: Store
    data: Store
    config: FinetuneConfig
    recipe: dict[str, Any]
    run: str
    threads: int
    sampler: Callable[[StableDiffusionPipeline, FinetuneConfig], Sample]
    distance: Callable[[], Distance]

    def __call__(self, tell: Tell) -> None:
        """Trains the run to its end from where it stands, and stores what it leaves; tells the figures of each step."""
        if not self.store.exists(result_key(self.run)):
            with out_of_memory_told(self.config):
                self.run_to_its_end(tell)

    def run_to_its_end(self, tell: Tell) -> None:
        torch.set_num_threads(self.threads)
        plan = pq.read_table(io.BytesIO(self.store.get(PLAN_KEY)))
        trained, validated = parts_of(plan, self.run, self.config.folds)
        ranks, pipe = Ranks.here(), self.load()
        sample = self.sampler(pipe, self.config)
        classes = ranks.broadcast_from_first(lambda: self.class_pictures(sample)) if self.config.prior_weight else None
        trainer = Trainer(pipe, self.config, self.read(trained), classes, self.recipe, ranks)
        shown = self.read(validated, self.config.validation_images)
        validation = Validation(trainer, shown, sample, self.distance())
        history = self.fit(trainer, validation, tell)
        if ranks.rank == 0 and not self.store.exists(RECORD_KEY):  # else another driver's model is there
            self.leave(trainer, validation, history, plan)

    def load(self) -> StableDiffusionPipeline:
        model = resolve(self.config.model)
        if model.digest != self.recipe["model"]:
            raise BadInput(f"--model {self.config.model}: this machine has other weights of that name than the driver")
        return load_base(model.path)

    def read(self, rows: pa.Table, count: int | None = None) -> Pictures:
        """All rows' pictures, or `count` of them evenly spread."""
        if count is not None and count < len(rows):
            rows = rows.take([round(i * (len(rows) - 1) / max(count - 1, 1)) for i in range(count)])
        return Pictures(read_images(self.data, rows, self.config.size), rows["caption"].to_pylist())

    def class_pictures(self, sample: Sample) -> Pictures:
        return class_pictures(self.config, self.recipe["model"], sample, open_store(str(cache_folder().parent)))

    def fit(self, trainer: Trainer, validation: Validation, tell: Tell) -> list[Figures]:
        """Returns the figures of every step, from the first one on."""
        first = trainer.ranks.rank == 0
        history = go_on(self.store, self.run, trainer)

        def report(figures: Figures) -> None:
            history.append(figures)
            if first:
                tell({"run": self.run, **figures})

        def keep(best: bool) -> None:
            if first:
                self.store.put(f"{SAMPLES}{self.run}/{trainer.done:08d}.png", validation.grid())
                keep_checkpoint(self.store, self.run, trainer, history, best)

        if not history:
            with trainer.averaged():
                report({"step": 0, **trainer.ranks.broadcast_from_first(lambda: measured(validation, 0))})
        train(trainer, validation, report, keep)
        return history

    def leave(self, trainer: Trainer, validation: Validation, history: list[Figures], plan: pa.Table) -> None:
        """Stores the best model, and how it does on the test part if it is the final one; the result last."""
        load_best(self.store, self.run, trainer)
        step = trainer.selection.step
        if step is None:
            raise ValueError(f"{self.run}: no validation, so there is no best model to leave")
        epoch = -(-step * self.config.batch * self.config.accumulation // trainer.order.instances)
        test: Figures = {}
        with trainer.averaged(), tempfile.TemporaryDirectory() as folder:
            if self.run == FINAL:
                save(trainer.pipe, self.config, Path(folder))
                objects = put_folder(self.store, "", Path(folder))
                tested = plan.filter(pc.equal(plan["split"], "test"))
                if len(tested):
                    shown = self.read(tested, self.config.test_images)
                    test = measured(Validation(trainer, shown, validation.sample, validation.distance), step)
            else:
                objects = self.leave_fold(trainer, f"best_model_{self.run}_epoch{epoch}", Path(folder))
        base, best = history[0], next(figures for figures in history if figures["step"] == step)
        scores, scores_before = ({name: f[name] for name in base if name != "step"} for f in (best, base))
        result = Result(step, epoch, scores, scores_before, test, objects, history, device_name())
        self.store.put(result_key(self.run), json.dumps(asdict(result)).encode())

    def leave_fold(self, trainer: Trainer, name: str, folder: Path) -> list[StoredObject]:
        """The fold's model as a folder and as a .zip, under the name that users of the notebooks know."""
        save(trainer.pipe, self.config, folder / name)
        archive = shutil.make_archive(str(folder / name), "zip", folder, name)
        return [
            *put_folder(self.store, f"{FOLDS}{name}/", folder / name),
            put_file(self.store, f"{FOLDS}{name}.zip", Path(archive)),
        ]


@contextlib.contextmanager
def out_of_memory_told(config: FinetuneConfig) -> Iterator[None]:
    """The one error of every size that is too large, with what to change; a CPU's allocator has no type for it."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise BadInput(f"out of memory: {take_less(config)}") from None


def take_less(config: FinetuneConfig) -> str:
    """What takes less memory."""
    return (
        f"lower --batch {config.batch} (and raise --accumulation {config.accumulation} for the same result), lower "
        f"--size {config.size}, or turn on --gradient-checkpointing"
    )
