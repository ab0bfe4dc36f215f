"""Fine-tune a diffusion model on X-rays: `cxr finetune RECIPE --data URI --out URI`.

Exit code 0: all there. 2: bad input, or a training that went wrong; the last checkpoint stays.
"""

import importlib.util
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.artifact.metrics import ModelMetrics
from cxr.errors import BadInput
from cxr.finetune.config import FinetuneConfig, advise_less_memory, check_distillation
from cxr.finetune.part import parse_patients
from cxr.progress import note, progress
from cxr.store import Store, open_store
from cxr.weights import check_lora_spec, check_spec

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.finetune.job import FinetuneJob
    from cxr.finetune.privacy import PatientDraws
    from cxr.finetune.validation import Distance


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.FINETUNE
    recipe: Suppress[str]
    config: cli.FromRecipe[FinetuneConfig]
    data: str
    """A set that `cxr ingest` made: a local folder or s3://bucket/prefix."""
    out: str
    """Where the model goes: a local folder or s3://bucket/prefix."""
    patients: str | None = None
    """A share of the training part's patients, as 10% (the same that `cxr study` draws), or a file of ids."""
    workers: int | None = None
    """Workers that train together; by default one for each GPU, or one. Does not change the result but for rounding."""
    min_workers: int | None = None
    """Go on with as few as these while machines are missing, and with more when they are back."""
    tensorboard: Path | None = None
    """A local folder for TensorBoard's curves (pip install tensorboard)."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Fine-tune a diffusion model on a set of X-rays, fully or as a LoRA, or distil one, on any number of workers."""
    start = time.monotonic()
    share, names = parse_patients(args.patients) if args.patients else (None, None)
    config, store = build_config(args, share), open_store(args.out)
    store.check()
    data_store = open_store(args.data)
    data_store.check(write=False)
    from cxr.data.catalog import read_set

    data = read_set(data_store)
    from cxr.finetune import finish, job, runs  # heavier: only for a set that is there

    ready = job.prepare(store, data, config, note, names)
    if record := ready.take_finished():
        print(f"already there: step {record.metrics['step']} in {store.uri}")
        return cli.DONE
    if args.dry_run:
        from cxr.finetune.forecast import forecast

        print(forecast(ready).text(store.uri))
        return cli.DONE

    def work() -> "Record":
        train_runs(ready, args)
        return finish.complete(ready, {"total": time.monotonic() - start})

    record = ready.make(work)
    from cxr.cluster import COMPUTE_USAGE

    if privacy := ready.privacy:
        print(f"epsilon {privacy.epsilon:.3g} by patient, delta {privacy.delta:.2g}, as the card says")
    best, took = record.metrics, COMPUTE_USAGE.summary(record.timings["total"])
    kept, score, before = "last" if ready.privacy else "best", best["validation"], best["base"]
    print(f"{kept} {config.select} {score[config.select]:.4g} (base {before[config.select]:.4g}) "
          f"at step {best['step']}, {record.made.bytes / 1e6:.1f} MB, {took}: {store.uri}")  # fmt: skip
    if few := ModelMetrics.read(record).few_steps:
        print(f"samples in {few.steps} steps of one pass each, with guidance {few.guidance:g} in its weights; mse is "
              "the distance to where the base ends")  # fmt: skip
        if score["mse"] >= before["mse"]:
            note("it ends farther from where the base ends than the base itself in as few steps: nothing is won yet; "
                 "train longer (--max-train-steps, --noises), or lower --learning-rate")  # fmt: skip
    uri = store.uri
    print(f"look at {uri}/{finish.CURVES_KEY} and {uri}/{runs.SAMPLES}, read {uri}/{finish.CARD_KEY}")
    return cli.DONE


def train_runs(ready: "FinetuneJob", args: Args) -> None:
    """Trains every run that is not finished yet: the folds side by side, then the final one on all workers."""
    from cxr import cluster
    from cxr.finetune import runs

    todo = [run for run in ready.runs if runs.read_result(ready.store, run) is None]
    if not todo:
        return
    with cluster.session(args.workers or 0):
        gpus = cluster.default_workers() if cluster.has_gpu() else 1
        workers = args.workers or min(gpus, ready.config.batch)
        threads = cluster.max_threads_per_worker(workers)
        sizes = args.min_workers or workers, workers
        cluster.check_room(sizes[0], threads)
        ready.begin(ready.plan)
        folds = [build_worker(ready, run, 1) for run in todo if run != runs.FINAL]
        messages = cluster.run_trials(folds, 1) if folds else iter(())
        if runs.FINAL in todo:
            messages = chain(messages, cluster.train(build_worker(ready, runs.FINAL, threads), sizes, threads))
        try:
            show_progress(ready, messages, args.tensorboard)
        except cluster.WorkersDied as died:
            raise BadInput(
                f"{died}; the same command goes on. If memory is short, {advise_less_memory(ready.config)}"
            ) from died


def build_worker(ready: "FinetuneJob", run: str, threads: int) -> Callable[[Callable[[dict[str, Any]], None]], None]:
    """What trains the run, called with what takes its messages; it goes to a worker with places and settings alone."""
    from cxr.finetune.job import draw_patients

    patients = draw_patients(ready)
    return partial(train_run, ready.store, ready.data.store, ready.config, ready.recipe, run, threads, patients)


def train_run(
    store: Store, data: Store, config: FinetuneConfig, recipe: dict[str, Any], run: str, threads: int,
    patients: "PatientDraws | None", tell: Callable[[dict[str, Any]], None],
) -> None:  # fmt: skip
    """On a worker: trains the run to its end."""
    from cxr.finetune.distill_worker import DistillWorker  # heavy, and needed on workers alone
    from cxr.finetune.worker import FinetuneWorker

    worker = DistillWorker if config.distills else FinetuneWorker
    worker(store, data, config, recipe, run, threads, embedded_kernel_distance, patients)(tell)


def embedded_kernel_distance() -> "Distance":
    """The kernel distance in features of the embedded extractor."""
    from cxr.evaluate.features import tiny_extractor
    from cxr.evaluate.kernel import kernel_distance

    extractor = tiny_extractor()
    return lambda generated, real: kernel_distance(extractor(real), extractor(generated))


def show_progress(ready: "FinetuneJob", messages: Iterable[dict[str, Any]], tensorboard: Path | None) -> None:
    """A bar over the steps of all runs; their metrics for MLflow and, with a folder, for TensorBoard."""
    from cxr.artifact import tracking
    from cxr.finetune.job import count_steps, steps_done

    reached = {run: steps_done(ready, run) for run in ready.runs}
    steps = sum(count_steps(ready, run) for run in ready.runs)
    scores = ""
    writers: dict[Path, Any] = {}
    with progress("finetune", steps, "steps", sum(reached.values())) as advance:
        for metrics in messages:
            if why := metrics.get("error"):
                raise BadInput(
                    f"--folds: a fold was given up, {why}; the same command goes on. If memory is short, "
                    f"{advise_less_memory(ready.config)}"
                )
            if line := metrics.get("note"):
                note(line)
                continue
            run, step = metrics.pop("run"), metrics.pop("step")
            if names := metrics.keys() & {"mse", "ssim", "psnr", "kid"}:
                scores = " · ".join(f"{name} {metrics[name]:.4g}" for name in sorted(names))
            loss = f"loss {metrics['loss']:.4f} · " if "loss" in metrics else ""  # the base model has none
            advance(max(0, step - reached[run]), f"{run}: {loss}{scores}")
            reached[run] = max(reached[run], step)
            tracking.report(metrics, step, prefix=f"{run}/")
            if tensorboard:
                write_tensorboard(writers, tensorboard / run, metrics, step)


def write_tensorboard(writers: dict[Path, Any], folder: Path, metrics: dict[str, float], step: int) -> None:
    from torch.utils.tensorboard import SummaryWriter

    if folder not in writers:
        writers[folder] = SummaryWriter(str(folder))
    for name, value in metrics.items():
        writers[folder].add_scalar(name, value, step)
    writers[folder].flush()


def build_config(args: Args, patients: float | None = None) -> FinetuneConfig:
    """The configuration, checked as far as needs no library and no network.

    Args:
        patients: percent of them, as read from `args.patients`.
    """
    cli.check_workers(args.workers)
    if args.min_workers is not None and not 1 <= args.min_workers <= (args.workers or 0):
        raise BadInput(f"--min-workers {args.min_workers}: give a number from 1 to that of --workers")
    if args.tensorboard and not importlib.util.find_spec("tensorboard"):
        raise BadInput("--tensorboard: it is not installed; pip install tensorboard, or leave the option out")
    config = args.config if patients is None else recipes.replace_fields(args.config, patients=patients)
    if (args.workers or 1) > config.batch:
        raise BadInput(f"--workers {args.workers}: --batch {config.batch} has a picture for as many at most")
    check_distillation(config)
    lora = check_lora_spec(config.lora) if config.lora else None
    return config.model_copy(update={"model": check_spec(config.model), "lora": lora})
