"""How good, how diverse, how many near-duplicates: `cxr evaluate RECIPE --real URI --synthetic URI --out URI`.

Exit code 0: all there. 2: bad input. 3: all there but the set of --quarantine, which too few training pictures forbid.
"""

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.artifact.metrics import EvaluationMetrics
from cxr.errors import SomeFailed
from cxr.evaluate.config import EvaluateConfig
from cxr.progress import note, progress
from cxr.store import open_store
from cxr.weights import check_extractor_spec

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.evaluate.calibration import CopyCalibration
    from cxr.evaluate.finish import EvaluateJob
    from cxr.evaluate.kept_classifiers import KeptClassifiers
    from cxr.evaluate.label_classifier import Classifiers
    from cxr.evaluate.sets import ImageSet
    from cxr.evaluate.worker import Earlier, Unit

# Of the random numbers of a seed; findings have the streams from 0, and `conclude` has those between.
COPIES_STREAM, ACCURACY_STREAM = 1_000_001, 1_000_005


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.EVALUATE
    recipe: Suppress[str]
    config: cli.FromRecipe[EvaluateConfig]
    real: str
    """The real set, as `cxr ingest` made it; near-duplicates of its train part are looked for. A folder or s3://..."""
    synthetic: str
    """The set to measure: a folder or s3://bucket/prefix."""
    out: str
    """Where the evaluation goes: a folder or s3://bucket/prefix."""
    quarantine: str | None = None
    """Where the synthetic set goes without the pictures that are flagged as near-duplicates."""
    features: str | None = None
    """An earlier evaluation, a folder or s3://...: its features of the same pictures are used again, and its
    classifiers of the same real set."""
    lineage: str | None = None
    """Models that --synthetic was made with, separated by commas, where this machine does not know whom they saw."""
    workers: int | None = None
    """Workers that look at pictures side by side; by default one for each GPU, without any one for each core."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Measure synthetic X-rays against real ones: fidelity, diversity, prompt accuracy, near-duplicates.

    Of near-duplicates whole pictures alone are looked for: no crops, no turned or inverted ones, no other memorisation.
    """
    start = time.monotonic()
    config = build_config(args)
    places = [open_store(uri) for uri in (args.real, args.synthetic, args.out, args.quarantine) if uri]
    for place in places[2:]:
        place.check()
    from cxr.artifact.metrics import FilterMetrics
    from cxr.artifact.quality import read_quality
    from cxr.data.candidates import warn_of_choice
    from cxr.data.catalog import read_set
    from cxr.data.lineage_lists import read_lists_option
    from cxr.data.prompt_accuracy import prompt_accuracies
    from cxr.evaluate.generator import check_generator
    from cxr.evaluate.sets import comparable_findings, compared_with, describe_part, describe_sizes
    from cxr.weights import resolve_extractor

    real, synthetic = map(read_set, places[:2])
    findings, left_out = comparable_findings(real, synthetic, config)
    generator = check_generator(real, synthetic, read_lists_option("--lineage", args.lineage))
    left_out += describe_part(real, compared_with(real, synthetic, config), config) + describe_sizes(real, synthetic)
    left_out += warn_of_choice(FilterMetrics.read(synthetic.record).filter)
    digest = resolve_extractor(config.extractor).digest
    from cxr.evaluate import finish, quarantine  # heavy: only for input that can be used
    from cxr.evaluate.calibration import why_too_few
    from cxr.evaluate.worker import read_earlier

    job = finish.prepare(places[2], config, digest, real, synthetic, generator)
    earlier = read_earlier(job, open_store(args.features)) if args.features else None
    reason = why_too_few(real.table["split"].to_pylist().count("train"))
    able = [] if reason else places[3:]
    quarantines = [quarantine.prepare(place, job, real, synthetic, generator) for place in able]
    for line in (generator, *left_out):
        note(line)
    if record := job.take_finished():
        print(f"already there: {job.store.uri}/{finish.PAGE_KEY}")
    elif args.dry_run:
        from cxr.evaluate.forecast import forecast

        print(forecast(job, findings, reason).text(job.store.uri))
        return cli.DONE
    else:
        from cxr.cluster import COMPUTE_USAGE

        record = job.make(lambda: evaluate_sets(job, findings, left_out, earlier, args.workers, start))
        took = COMPUTE_USAGE.summary(record.timings["total"])
        print(f"{len(synthetic.table)} pictures against {len(real.table)} real ones, {took}: {job.store.uri}")
    print_summary(job, record)
    for clean in quarantines:
        accuracies = prompt_accuracies(read_quality(job.store).prompt_accuracy)
        print(quarantine.write_set(clean, finish.read_flagged(job), accuracies))
    if args.quarantine and reason:
        raise SomeFailed(
            f"--quarantine {args.quarantine}: not written: near-duplicates cannot be told, as --real has {reason}; all "
            "else is there. Ingest more, or give study the whole set with --allow-unchecked-copies"
        )
    return cli.DONE


def evaluate_sets(
    job: "EvaluateJob",
    findings: tuple[str, ...],
    left_out: list[str],
    earlier: "Earlier | None",
    workers: int | None,
    start: float,
) -> "Record":
    """Inspects both sets, measures, and writes the evaluation."""
    from cxr.evaluate import finish
    from cxr.evaluate.conclude import conclude
    from cxr.evaluate.features import extractor_of
    from cxr.evaluate.kept_classifiers import KeptClassifiers
    from cxr.evaluate.worker import units_of

    extractor, kept = extractor_of(job.config.extractor), KeptClassifiers(job.store, earlier)
    calibration, classifiers = prepare_real_set(job, findings, kept)
    finish.begin(job)
    stored = [job.store.put(key, data) for key, data in kept.found.items()]
    units = units_of(job)
    inspect_units(job, [*units.real, *units.synthetic], earlier, calibration, classifiers, workers)
    with progress("metrics", len(findings) + 1, "findings") as advance:
        concluded = conclude(job, units, findings, calibration, classifiers, extractor, left_out, advance)
    concluded = replace(concluded, kept=[*concluded.kept, *stored])
    return finish.complete(job, concluded, extractor.device, {"total": time.monotonic() - start})


def prepare_real_set(
    job: "EvaluateJob", findings: tuple[str, ...], kept: "KeptClassifiers"
) -> "tuple[CopyCalibration, Classifiers]":
    """What synthetic pictures are compared with, from the real set: its training pictures and classifiers of it."""
    import numpy as np

    from cxr.classify.best_of import count_steps
    from cxr.evaluate.calibration import calibrate, count_lookups
    from cxr.evaluate.sets import label_attributes, load_images

    config = job.config
    with progress("real set", len(job.real.table), "pictures") as advance:
        real = load_images(job.real, config, advance)
    with progress("likeness", count_lookups(real, config.calibration), "pictures") as advance:
        rng = np.random.default_rng([config.seed, COPIES_STREAM])
        calibration = calibrate(real, config.calibration, rng, advance)
    trainings = 2 if label_attributes(job.real, job.synthetic, config).real.names else 1
    with progress("classifier", trainings * count_steps(len(real.part("train"))), "steps") as advance:
        return calibration, train_classifiers(job, real, findings, kept, advance)


def train_classifiers(
    job: "EvaluateJob",
    real: "ImageSet",
    findings: tuple[str, ...],
    kept: "KeptClassifiers",
    advance: Callable[[int], object],
) -> "Classifiers":
    """Of the real set's findings, and of the attributes that both sets name."""
    import numpy as np

    from cxr.classify.task import task_of
    from cxr.evaluate.label_classifier import Classifiers, LabelClassifier, Labelled, Predict, train_label_classifier
    from cxr.evaluate.sets import Labelling, label_attributes

    seed, vocabulary = job.config.seed, job.real.vocabulary

    def train(labels: Labelling, exclusive: bool, compared: Sequence[str]) -> LabelClassifier | None:
        def learn(training: Labelled, validation: Labelled) -> Predict:
            task = task_of(training[1].shape[1], exclusive)
            parts = [(pixels, task.targets(values)) for pixels, values in (training, validation)]
            return kept.train(parts[0], parts[1], task, seed, advance)

        rng = np.random.default_rng([seed, ACCURACY_STREAM])
        return train_label_classifier(real, labels, exclusive, compared, learn, rng)

    shown = Labelling(vocabulary.findings, real.labels.columns(vocabulary.findings))
    attributes = label_attributes(job.real, job.synthetic, job.config).real
    return Classifiers(
        train(shown, vocabulary.exclusive, [name for name in findings if name in vocabulary.findings]),
        train(attributes, False, attributes.names) if attributes.names else None,
    )


def inspect_units(
    job: "EvaluateJob",
    units: "list[Unit]",
    earlier: "Earlier | None",
    calibration: "CopyCalibration",
    classifiers: "Classifiers",
    workers: int | None,
) -> None:
    """Computes features, nearest training picture and label of every unit that is not stored yet."""
    from cxr import cluster
    from cxr.evaluate.worker import EvaluateWorker, find_earlier, pending

    todo, total = pending(job.store, units), sum(len(unit.table) for unit in units)
    if not todo:
        return
    with (
        cluster.session(workers or 0),
        progress("pictures", total, "pictures", total - sum(len(unit.table) for unit in todo)) as advance,
    ):
        workers, gpus = workers or cluster.default_workers(), int(cluster.has_gpu())
        threads = cluster.max_threads_per_worker(workers) if gpus else 1
        work = EvaluateWorker(job.store, job.config.extractor, job.config.size, threads, earlier)
        blocks = ((number, pickle.dumps(unit)) for number, unit in enumerate(find_earlier(todo, earlier)))
        shared = cluster.share(calibration.index, classifiers.predict)
        for done in cluster.run_rows(blocks, work, workers, threads, gpus, shared):
            advance(done["images"])


def print_summary(job: "EvaluateJob", record: "Record") -> None:
    from cxr.evaluate import finish

    for line in EvaluationMetrics.read(record).summary:
        print(line)
    print(f"look at {job.store.uri}/{finish.PAGE_KEY}, read {job.store.uri}/{finish.TABLES_KEY}")


def build_config(args: Args) -> EvaluateConfig:
    """The configuration, checked as far as needs no library and no network."""
    cli.check_workers(args.workers)
    return args.config.model_copy(update={"extractor": check_extractor_spec(args.config.extractor)})
