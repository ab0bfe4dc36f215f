"""Does synthetic data help? `python jobs/study.py RECIPE --real URI --synthetic URI --out URI`.

Exit code 0: all there. 2: bad input. 3: all but failed trials (the same command tries them again).
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction

from cxr import cli, recipes
from cxr.artifact import read_record
from cxr.classify.config import SMALL_NETWORKS, Network
from cxr.errors import BadInput, SomeFailed
from cxr.progress import grid, note, progress
from cxr.store import open_store
from cxr.study.arms import read_arms
from cxr.study.config import StudyConfig, standard_arms
from cxr.weights import check_weights_spec

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.study.job import Job
    from cxr.study.trial import Run

CLASSIFIER = (
    "network", "pretrained", "weights", "size", "resize", "flip", "epochs", "batch", "learning_rate", "precision",
)  # fmt: skip
STUDY = ("budget", "primary", "positive", "subset_seed", "min_prompt_accuracy")
FLAGS = ("optimism", "allow_seen_patients", "allow_unchecked_copies", "allow_unfaithful_labels")
TOGETHER = "--workers-per-trial"
MAIN = ""  # the synthetic set of all arms that have none of their own


@dataclass(frozen=True)
class Args:
    recipe: Positional[str]
    """tiny (phantoms, on a CPU), standard (all arms, 5 seeds, on GPUs), study_7x3 (the guide's 3 seeds, which see the
    primary arm's difference from 3.3 standard deviations between seeds on, any other's from 13 on), limited (few real
    data, a set for each arm), mnist28 (28 px) or findings10 (one classifier)."""
    real: str
    """The real set, as jobs/ingest.py made it: a folder or s3://bucket/prefix."""
    out: str
    """Where the study goes: a folder or s3://bucket/prefix."""
    synthetic: UseAppendAction[tuple[str, ...]] = ()
    """The synthetic set, as jobs/generate.py or --quarantine of jobs/evaluate.py left it; ARM=URI, as often as you
    like: the set that this arm takes in its place."""
    evaluation: str | None = None
    """Where jobs/evaluate.py measured the two: shows that copies were looked for, and is quoted in the report."""
    lineage: str | None = None
    """Where the models lie that --synthetic was made with (as jobs/finetune.py left them, separated by commas): shows
    whom they were trained on where this machine does not know."""
    arms: Path | None = None
    """A TOML file with more arms: [[arm]] name, real, synthetic (percent), repeat, order, steps, shuffled, control."""
    primary: str | None = None
    """The arm that the answer is about, tested alone at 5 %; synth_100 where there is one. Name it before the run."""
    seeds: str | None = None
    """Of the trials of each arm, separated by commas."""
    subset_seed: int | None = None
    """Draws the patients of arms with a part of the real data; the same as of jobs/finetune.py --patients."""
    budget: Literal["steps", "epochs"] | None = None
    """steps: every arm takes as many optimiser steps; epochs: as many epochs, so larger sets take longer."""
    positive: str | None = None
    """Of two findings, the one that is looked for."""
    network: Network | None = None
    """The classifier."""
    pretrained: bool | None = None
    """Begin with ImageNet's weights, or from scratch."""
    weights: str | None = None
    """Other first weights than the published ones: a safetensors file or s3://bucket/prefix."""
    size: int | None = None
    """Pixels that the network sees."""
    resize: int | None = None
    """Pixels that pictures are held at; a picture takes resize^2 bytes of memory."""
    flip: bool | None = None
    """Mirror training pictures at random; not where the side matters."""
    epochs: int | None = None
    """Of the baseline."""
    batch: int | None = None
    """Pictures in a step."""
    learning_rate: float | None = None
    """Of AdamW, at its highest."""
    precision: Literal["auto", "fp32", "bf16"] | None = None
    """Of what the network computes; auto: bf16 where the hardware has it."""
    optimism: FlagCreatePairsOff[bool] = False
    """Also show what choosing on the test set would have given, as the usual notebook does."""
    trials_per_gpu: int = 2
    """Trials side by side on a GPU."""
    workers_per_trial: int = 1
    """Devices that train one trial together."""
    allow_seen_patients: FlagCreatePairsOff[bool] = False
    """Go on though the generator saw test patients, or may have; the report says so."""
    allow_unchecked_copies: FlagCreatePairsOff[bool] = False
    """Go on though nobody looked for copies of real pictures; the report says so."""
    allow_unfaithful_labels: FlagCreatePairsOff[bool] = False
    """Go on though most pictures of a finding do not show it; the report says so."""
    min_prompt_accuracy: float | None = None
    """Of the finding with the fewest, the share of synthetic labels that are right, at least: 0.5."""


def main(args: Args) -> int:
    """Train a classifier on mixes of real and synthetic X-rays, and say with statistics whether the synthetic help."""
    start = time.monotonic()
    config = configured(args)
    store = open_store(args.out)
    store.check()
    from cxr.data.catalog import read_set

    named = synthetic_places(args.synthetic)
    real = read_set(open_store(args.real))
    own = {arm: read_set(open_store(uri)) for arm, uri in named.items()}
    place = open_store(args.evaluation) if args.evaluation else None
    evaluation = (place, read_record(place)) if place else None
    from cxr.data.lineage_lists import read_lists_option
    from cxr.study import job  # heavier: only for sets that are there

    lists = read_lists_option("--lineage", args.lineage)
    ready = job.prepare(store, config, real, own.pop(MAIN, None), evaluation, weights_of(config), own, lists)
    from cxr.study import finish  # heavy: only for input that can be used

    if record := ready.take_finished():
        print(f"already there: {record.metrics['answer']}\nlook at {store.uri}/{finish.PAGE_KEY}")
        return cli.DONE

    def work() -> "Record":
        failures = run(ready, args)
        for name, why in failures.items():
            note(f"trial {name} failed: {why}")
        study, written = finish.report(ready)
        if failures:
            raise SomeFailed(
                f"{len(failures)} of {len(ready.names)} trials failed, the others are stored; the report at "
                f"{ready.store.uri} is without them.\nTry just those again:\n  {cli.again()}"
            )
        return finish.complete(ready, study, written, {"total": time.monotonic() - start})

    record = ready.make(work)
    from cxr.cluster import COMPUTE_USAGE

    print(f"{len(ready.names)} trials, {COMPUTE_USAGE.summary(record.timings['total'])}: {store.uri}")
    if record.metrics["phantom"]:
        print("Of phantoms, which say nothing about patients:")
    print("\n- ".join([record.metrics["answer"], *record.metrics["details"]]))
    print(f"look at {store.uri}/{finish.PAGE_KEY}, read {store.uri}/{finish.TABLE_KEY}")
    return cli.DONE


def run(ready: "Job", args: Args) -> dict[str, str]:
    """Runs every trial that has no result yet; returns why trials were given up."""
    from cxr import cluster
    from cxr.study import job
    from cxr.study.sets import load

    if not (todo := job.runs(ready, 1)):
        return {}
    together, size = args.workers_per_trial, ready.config.classifier.resize
    with cluster.session(together, spare_cpus=int(together > 1)):
        if together > 1:
            cluster.check_room(together, 1, TOGETHER)
        with progress("pictures", len(ready.used), "pictures") as advance:
            pixels = load(ready.sets, ready.used, size, advance)
        job.begin(ready)  # not before: with what is refused until here changed, --out would be another recipe's
        shared = cluster.share(pixels, ready.sets.labels[ready.used])
        if together > 1:
            told = cluster.train_trials(todo, together, 1, shared, TOGETHER)
        else:
            told = cluster.run_trials(todo, 1, 1 / args.trials_per_gpu, shared)
        return show(ready, todo, told)


def show(ready: "Job", todo: list["Run"], told: Iterable[dict[str, Any]]) -> dict[str, str]:
    """A table of the trials with a bar over their steps; returns why trials were given up."""
    steps = {run.order.name: run.order.steps for run in todo}
    reached, failed, done = dict.fromkeys(steps, 0), {}, len(ready.names) - len(todo)
    total = sum(steps.values())
    with grid("study", [a.name for a in ready.config.arms], ready.config.seeds, total, "steps") as (cell, advance):

        def write(trial: str, text: str) -> None:
            arm, seed = trial.split("/")
            cell(arm, seed, text)

        for trial in ready.names:
            write(trial, "·" if trial in steps else "done")
        for news in told:
            name = news.get("name") or todo[news["trial"]].order.name
            if "error" in news:
                failed[name] = news["error"]
                write(name, "failed")
                continue
            step, ended = news["step"], "done" in news
            done += ended
            write(name, f"{news['auroc']:.3f}" + ("" if ended else f" {step}/{steps[name]}"))
            advance(max(0, step - reached[name]), f"{done}/{len(ready.names)} trials, {name} {news['auroc']:.3f}")
            reached[name] = max(reached[name], step)
            if ended:
                failed.pop(name, None)
    return failed


def configured(args: Args) -> StudyConfig:
    """The recipe with the command line's changes, checked as far as needs no library and no network."""
    for option in ("trials_per_gpu", "workers_per_trial"):
        if getattr(args, option) < 1:
            raise BadInput(f"--{option.replace('_', '-')} {getattr(args, option)}: give 1 or more")
    config = recipes.named(recipes.STUDY, args.recipe)
    arms = config.arms
    if args.budget not in (None, config.budget):
        arms = standard_arms(args.budget, [arm.name for arm in arms])
    classifier = recipes.changed(config.classifier, **{name: getattr(args, name) for name in CLASSIFIER})
    if classifier.weights:
        classifier = classifier.model_copy(update={"weights": check_weights_spec(classifier.weights)})
    given = {name: getattr(args, name) for name in STUDY} | {name: getattr(args, name) or None for name in FLAGS}
    given["arms"] = [*arms, *(read_arms(args.arms) if args.arms else ())]
    if args.seeds is not None:
        given["seeds"] = parse_seeds(args.seeds)
    return recipes.changed(config, classifier=classifier, **given)


def synthetic_places(given: Sequence[str]) -> dict[str, str]:
    """The synthetic sets' places by arm; `MAIN` for that of all others.

    Raises:
        BadInput: two sets for one.
    """
    places: dict[str, str] = {}
    for words in given:
        named = re.fullmatch(r"([a-z0-9_]{1,40})=(.+)", words)
        arm, uri = named.groups() if named else (MAIN, words)
        if arm in places:
            raise BadInput(f"--synthetic {words[:60]}: {arm or 'all other arms'} would have two sets; give one")
        places[arm] = uri
    return places


def parse_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise BadInput(f"--seeds {text[:60]!r}: give whole numbers separated by commas, as 42,123,456") from None


def weights_of(config: StudyConfig) -> str | None:
    """Digest of the classifier's first weights, which must be there before anything is begun; None: from scratch."""
    from cxr.weights import resolve_imagenet

    classifier = config.classifier
    if not classifier.pretrained or classifier.network in SMALL_NETWORKS:
        return None
    return resolve_imagenet(classifier.network, classifier.weights).digest
