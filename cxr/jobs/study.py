"""Does synthetic data help? `cxr study RECIPE --real URI --synthetic URI --out URI`.

Exit code 0: all there. 2: bad input. 3: all but failed trials (the same command tries them again).
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tyro.conf import Suppress, UseAppendAction

from cxr import cli, recipes
from cxr.artifact import read_record
from cxr.artifact.metrics import StudyMetrics
from cxr.classify.config import FOUNDATION, SMALL_NETWORKS
from cxr.errors import BadInput, SomeFailed, nearest
from cxr.progress import grid, note, progress
from cxr.store import open_store
from cxr.study.config import StudyConfig
from cxr.weights import check_extractor_spec, check_weights_spec

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.data.sources.chosen_findings import Groups
    from cxr.study.job import StudyJob
    from cxr.study.trial import TrialWorker

FEWEST_SEEDS = 3  # that say how much is luck
TOGETHER = "--workers-per-trial"


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.STUDY
    recipe: Suppress[str]
    config: cli.FromRecipe[StudyConfig]
    real: str
    """The real set, as `cxr ingest` made it: a folder or s3://bucket/prefix."""
    out: str
    """Where the study goes: a folder or s3://bucket/prefix."""
    synthetic: UseAppendAction[tuple[str, ...]] = ()
    """The synthetic set, or one of each training of its generator, as often as you like; ARM=URI: the set that this arm
    takes in its place."""
    evaluation: str | None = None
    """Where `cxr evaluate` measured the two: shows that copies were looked for, and is quoted in the report."""
    audit: str | None = None
    """Where `cxr audit` attacked --synthetic: is quoted in the report, which calls a set without one unaudited."""
    external: UseAppendAction[tuple[str, ...]] = ()
    """NAME=URI, as often as you like: a set of another hospital, on which every arm is tested too, once."""
    external_findings: UseAppendAction[tuple[str, ...]] = ()
    """NAME:OURS=THEIRS,...: what findings are called in an external set, as clinic:pneumonia=Consolidation."""
    lineage: str | None = None
    """Models that --synthetic was made with, separated by commas, where this machine does not know whom they saw."""
    trials_per_gpu: int = 2
    """Trials side by side on a GPU."""
    workers_per_trial: int = 1
    """Devices that train one trial together."""
    plan: bool = False
    """Only train the baseline with the first three seeds, and say what so many seeds and test patients could find."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Train a classifier on mixes of real and synthetic X-rays, and say with statistics whether the synthetic help."""
    start = time.monotonic()
    config = build_config(args)
    ready = prepare(args, config)
    if len(config.seeds) < FEWEST_SEEDS:
        named = ", ".join(map(str, config.seeds))
        note(
            f"--seeds names seeds, and does not count them: trials with {named} alone hardly tell an effect from the "
            f"luck of a training; give {FEWEST_SEEDS} or more, as {','.join(map(str, StudyConfig().seeds))}"
        )
    from cxr.study import finish  # heavy: only for input that can be used
    from cxr.study.worth import foresee_no_worth

    for line in foresee_no_worth(config):
        note(f"{line} Take back --only or --without to have it")
    if record := ready.take_finished():
        print(f"already there: {StudyMetrics.read(record).answer}\nlook at {ready.store.uri}/{finish.PAGE_KEY}")
        return cli.DONE
    if args.dry_run:
        from cxr.study.forecast import forecast

        print(forecast(ready).text(ready.store.uri))
        return cli.DONE

    if args.plan:
        return plan_study(ready, args)

    def work() -> "Record":
        failures = run_trials(ready, args)
        for name, why in failures.items():
            note(f"trial {name} failed: {why}")
        study, written = finish.write_report(ready)
        if failures:
            raise SomeFailed(
                f"{len(failures)} of {len(ready.names)} trials failed, the others are stored; the report at "
                f"{ready.store.uri} is without them.\nTry just those again:\n  {cli.again()}"
            )
        return finish.complete(ready, study, written, {"total": time.monotonic() - start})

    record = ready.make(work)
    from cxr.cluster import COMPUTE_USAGE

    print(f"{len(ready.names)} trials, {COMPUTE_USAGE.summary(record.timings['total'])}: {ready.store.uri}")
    found = StudyMetrics.read(record)
    if found.phantom:
        print("Of phantoms, which say nothing about patients:")
    print("\n- ".join([found.answer, *found.details]))
    print(f"look at {ready.store.uri}/{finish.PAGE_KEY}, read {ready.store.uri}/{finish.TABLE_KEY}")
    return cli.DONE


def prepare(args: Args, config: StudyConfig) -> "StudyJob":
    """All that is checked before anything is trained."""
    store = open_store(args.out)
    store.check()
    from cxr.data.catalog import read_set

    external = external_places(args.external, args.external_findings)
    real = read_set(open_store(args.real))
    main_places, own_places = synthetic_places(args.synthetic)
    own = {arm: read_set(open_store(uri)) for arm, uri in own_places.items()}
    mains = [read_set(open_store(uri)) for uri in main_places]
    main_set, further = (mains[0], mains[1:]) if mains else (None, [])
    places = [open_store(uri) if uri else None for uri in (args.evaluation, args.audit)]
    evaluation, audit = ((place, read_record(place)) if place else None for place in places)
    from cxr.data.lineage_lists import read_lists_option
    from cxr.study import job  # heavier: only for sets that are there

    lists = read_lists_option("--lineage", args.lineage)
    weights = resolve_weights(config)
    elsewhere = {name: (read_set(open_store(uri)), groups) for name, (uri, groups) in external.items()}
    return job.prepare(store, config, real, main_set, evaluation, weights, own, lists, audit, elsewhere, further)


def plan_study(ready: "StudyJob", args: Args) -> int:
    """The pilot's trials, which stay, and what the study could find; nothing with synthetic pictures is trained."""
    from cxr.report.pages import markdown_table
    from cxr.study import job, plan

    pilot = job.pilot(ready)
    for name, why in run_trials(pilot, args).items():
        note(f"trial {name} failed: {why}")
    made = plan.freeze_plan(ready, job.read_trials(pilot))
    print("\n".join([*plan.describe_plan(made), "", markdown_table(*plan.plan_table(made))]))
    print(f"kept in {ready.store.uri}/{plan.POWER_KEY}; go on with the same command without --plan, and your --seeds")
    return cli.DONE


def run_trials(ready: "StudyJob", args: Args) -> dict[str, str]:
    """Runs every trial that has no result yet; returns why trials were given up."""
    from cxr import cluster
    from cxr.study import job
    from cxr.study.sets import load

    if not (todo := job.pending_trials(ready, 1)):
        return {}
    together, size = args.workers_per_trial, ready.config.classifier.resize
    with cluster.session(together, spare_cpus=int(together > 1)):
        if together > 1:
            cluster.check_room(together, 1, TOGETHER)
        with progress("pictures", len(ready.used), "pictures") as advance:
            pixels = load(ready.sets, ready.used, size, advance)
        job.begin(ready)  # not before: with what is refused until here changed, --out would be another recipe's
        if ready.config.classifier.frozen:
            from cxr.jobs.together.frozen import compute_features

            with progress("features", len(pixels), "pictures") as advance:
                pixels = compute_features(ready, pixels, advance)
        shared = cluster.share(pixels, ready.sets.labels[ready.used])
        if together > 1:
            messages = cluster.train_trials(todo, together, 1, shared, TOGETHER)
        else:
            messages = cluster.run_trials(todo, 1, 1 / args.trials_per_gpu, shared)
        return show_progress(ready, todo, messages)


def show_progress(ready: "StudyJob", todo: list["TrialWorker"], messages: Iterable[dict[str, Any]]) -> dict[str, str]:
    """A table of the trials with a bar over their steps; returns why trials were given up."""
    steps = {run.spec.name: run.spec.steps for run in todo}
    reached, failed, done = dict.fromkeys(steps, 0), {}, len(ready.names) - len(todo)
    total = sum(steps.values())
    with grid("study", [a.name for a in ready.config.arms], ready.config.seeds, total, "steps") as (cell, advance):

        def write(trial: str, text: str) -> None:
            arm, seed = trial.split("/")
            cell(arm, seed, text)

        for trial in ready.names:
            write(trial, "·" if trial in steps else "done")
        for message in messages:
            name = message.get("name") or todo[message["trial"]].spec.name
            if "error" in message:
                failed[name] = message["error"]
                write(name, "failed")
                continue
            step, ended = message["step"], "done" in message
            done += ended
            write(name, f"{message['auroc']:.3f}" + ("" if ended else f" {step}/{steps[name]}"))
            advance(max(0, step - reached[name]), f"{done}/{len(ready.names)} trials, {name} {message['auroc']:.3f}")
            reached[name] = max(reached[name], step)
            if ended:
                failed.pop(name, None)
    return failed


def build_config(args: Args) -> StudyConfig:
    """The configuration, checked as far as needs no library and no network."""
    for option in ("trials_per_gpu", "workers_per_trial"):
        if getattr(args, option) < 1:
            raise BadInput(f"--{option.replace('_', '-')} {getattr(args, option)}: give 1 or more")
    classifier = args.config.classifier
    if not classifier.weights:
        return args.config
    if classifier.network in FOUNDATION:
        weights = check_extractor_spec(classifier.extractor).partition("=")[2]
    else:
        weights = check_weights_spec(classifier.weights)
    return args.config.model_copy(update={"classifier": classifier.model_copy(update={"weights": weights})})


def synthetic_places(given: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The synthetic sets' places: those of all arms that have none of their own, one a training of their generator, and
    those of single arms.

    Raises:
        BadInput: two sets for one arm.
    """
    main: list[str] = []
    own: dict[str, str] = {}
    for words in given:
        match = re.fullmatch(r"([a-z0-9_]{1,40})=(.+)", words)
        if match is None:
            main.append(words)
        elif match[1] in own:
            raise BadInput(f"--synthetic {words[:60]}: {match[1]} would have two sets; give one")
        else:
            own[match[1]] = match[2]
    return main, own


def external_places(given: Sequence[str], findings: Sequence[str]) -> "dict[str, tuple[str, Groups | None]]":
    """The external sets' places by name, and what their findings are called.

    Raises:
        BadInput: words that name no set, two of one name, or findings of a set that is not there.
    """
    from cxr.data.sources.chosen_findings import parse_findings

    groups: dict[str, Groups] = {}
    for words in findings:
        name, colon, pairs = words.partition(":")
        if not colon or name in groups:
            raise BadInput(
                f"--external-findings {words[:60]}: write NAME:OURS=THEIRS, once for each external set, as "
                "clinic:pneumonia=Consolidation"
            )
        groups[name] = parse_findings(pairs)
    places: dict[str, tuple[str, Groups | None]] = {}
    for words in given:
        match = re.fullmatch(r"([A-Za-z0-9_-]{1,40})=(.+)", words)
        if not match or match[1] in places:
            raise BadInput(f"--external {words[:60]}: write NAME=URI, each name once, as clinic=out/clinic")
        places[match[1]] = match[2], groups.get(match[1])
    if unknown := next((name for name in groups if name not in places), None):
        raise BadInput(f"--external-findings {unknown[:40]}: no --external is called so; {nearest(unknown, places)}")
    return places


def resolve_weights(config: StudyConfig) -> str | None:
    """Digest of the classifier's first weights, which must be there before anything is begun; None: from scratch."""
    from cxr.weights import resolve_extractor, resolve_imagenet

    classifier = config.classifier
    if not classifier.pretrained or classifier.network in SMALL_NETWORKS:
        return None
    if classifier.network in FOUNDATION:
        return resolve_extractor(classifier.extractor).digest
    return resolve_imagenet(classifier.network, classifier.weights).digest
