"""Train a GAN on small pictures and see what it makes: `cxr gan RECIPE --data digits --out URI`.

Exit code 0: all there, collapsed or not. 2: bad input, or a training that went wrong; the last checkpoint stays.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.data.sources import SOURCES, SourceOptions, is_source_name, parse_source
from cxr.labs.gan.config import GanConfig
from cxr.progress import note, progress
from cxr.store import open_store

if TYPE_CHECKING:
    import numpy as np

    from cxr.artifact import Record
    from cxr.labs.gan.job import GanJob
    from cxr.labs.gan.real import Real

PAIRS = 200  # of pictures of a class, for MS-SSIM


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.GAN
    recipe: Suppress[str]
    config: cli.FromRecipe[GanConfig]
    out: str
    """Where networks and pictures go: a local folder or s3://bucket/prefix."""
    data: str = "digits"
    """The real pictures: digits, idx:FOLDER, npz:FILE, folder:DIR ..., or a set that `cxr ingest` made."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Train a DCGAN and LeNet-5 on small pictures; generate, sort and measure."""
    start = time.monotonic()
    config, store = args.config, open_store(args.out)
    store.check()
    real = read_real(args.data, config.seed)
    from cxr.labs.gan import finish, job  # heavy: only for pictures that are there

    ready = job.prepare(store, config, real)
    if record := ready.take_finished():
        print(f"already there: {record.made.count} pictures in {store.uri}")
    elif args.dry_run:
        from cxr.labs.gan.forecast import forecast

        print(forecast(ready).text(store.uri))
        return cli.DONE
    else:
        record = ready.make(lambda: train_and_generate(ready, start))
    print_summary(record)
    print(f"look at {store.uri}/{finish.GIF_KEY}, read {store.uri}/{finish.CARD_KEY}")
    return cli.DONE


def read_real(data: str, seed: int) -> "Real":
    """The real pictures, from a source or a finished set."""
    if is_source_name(data):
        kind, place = parse_source(data, "--data")
        from cxr.labs.gan.real import from_source

        return from_source(SOURCES[kind](place, SourceOptions(seed=seed)), seed, note)
    from cxr.data.catalog import read_set

    found = read_set(open_store(data))
    from cxr.labs.gan.real import from_set

    with progress("real pictures", len(found.table), "pictures") as advance:
        return from_set(found, seed, advance)


def train_and_generate(ready: "GanJob", start: float) -> "Record":
    """Trains the classifier and the GAN from where they stand, and writes what they come to."""
    from cxr.labs.gan import finish, job
    from cxr.labs.gan.checkpoints import last_epoch

    job.begin(ready)
    config = ready.config
    lenet = job.read_lenet(ready)
    if lenet is None:
        with progress("LeNet-5", config.lenet_epochs, "epochs") as advance:
            lenet = job.train_lenet(ready, lambda f: advance(1, f"validation {f['validation_accuracy']:.2%}"))
    with progress("GAN", config.epochs, "epochs", last_epoch(ready.store)) as advance:
        run = job.train_gan(ready, lenet, lambda f: advance(1, format_losses(f)))
    with progress("pictures", config.count, "pictures") as advance:
        return finish.complete(ready, run, lenet, mean_ms_ssim, {"total": time.monotonic() - start}, advance)


def format_losses(metrics: dict[str, float]) -> str:
    return f"loss D {metrics['discriminator_loss']:.2f}, G {metrics['generator_loss']:.2f}"


def mean_ms_ssim(pixels: "np.ndarray", seed: int) -> float:
    """Mean MS-SSIM of pairs, by the stage that evaluates."""
    import numpy as np

    from cxr.evaluate.diversity import draw_pairs, similarity

    pairs = draw_pairs(len(pixels), PAIRS, np.random.default_rng(seed))
    return float(similarity(pixels, pairs).mean(dtype=float))


def print_summary(record: "Record") -> None:
    from cxr.labs.gan.finish import missing_classes

    metrics = record.metrics
    if metrics["collapsed"]:
        note(f"collapsed: {'; '.join(metrics['collapsed_because'])}")
    missing, classes = missing_classes(metrics), len(metrics["classes"])
    never = f" (never made: {', '.join(missing)})" if missing else ""
    print(f"{record.made.count} pictures, {classes - len(missing)} of {classes} classes{never}, LeNet-5 "
          f"{metrics['lenet_accuracy']['test']:.2%} on the test part, mean confidence {metrics['confidence']:.3f}, in "
          f"{record.timings['total']:.0f} s")  # fmt: skip
