"""A set every night, for readers only if it is good enough: `cxr nightly RECIPE --out URI --date D`.

Exit code 0: the night passed its gate, and `latest` names it. 2: bad input, or another run is at work. 3: it failed its
gate, or a step had units that failed; `latest` stays.
"""

import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.artifact import Record, read_record, recipe_digest
from cxr.artifact.metrics import NightMetrics
from cxr.data.sources import parse_source
from cxr.errors import BadInput
from cxr.finetune.config import FinetuneConfig
from cxr.jobs import audit, evaluate, finetune, generate, ingest
from cxr.nightly.config import NightlyConfig
from cxr.nightly.places import AUDIT, DATA, EVALUATION, MODELS, NIGHTS, SET, below, check_place
from cxr.progress import note
from cxr.report.forecast import Forecast
from cxr.store import Store, open_store

if TYPE_CHECKING:
    from cxr.nightly.lease import Lease
    from cxr.nightly.report import NightReport, Report

# The steps and what is filled in behind their words; here with places for a first look at the words.
STEPS = {
    ingest: ("--source", "phantom:", "--out", "."),
    finetune: ("--data", ".", "--out", "."),
    generate: ("--out", "."),
    evaluate: ("--real", ".", "--synthetic", ".", "--out", "."),
    audit: ("--real", ".", "--synthetic", ".", "--out", "."),
}


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.NIGHTLY
    recipe: Suppress[str]
    config: cli.FromRecipe[NightlyConfig]
    out: str
    """Where the nights go, always the same place: a local folder or s3://bucket/prefix."""
    date: str
    """The night's, as 2026-11-21; it also seeds the night's prompts and pictures."""
    keep: int = 14
    """Nights to keep; that of `latest` stays in any case."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Bring in new X-rays, fine-tune if there are any, make a set; give it to readers if it is good enough."""
    start = time.monotonic()
    config, root = build_config(args), open_store(args.out)
    root.check()
    check_place(root)
    from cxr.nightly import report, steps
    from cxr.nightly.lease import hold_lease

    if record := report.read_finished_night(root, config, args.date):
        return print_summary(root, args.date, record)
    pinned = report.read_pinned_inputs(root, args.date)
    data = pinned["data"] if pinned else digest_source(config)  # before the lease: what cannot be read leaves nothing
    if args.dry_run:
        print(forecast(root, config, args.date, data).text(root.uri))
        return cli.DONE
    with hold_lease(root) as lease:
        try:
            return run_night(lease, config, args, data, start)
        except steps.StepFailed as stop:
            print(f"{cli.program()}: {stop}, see above; latest stays, the same command goes on", file=sys.stderr)
            return stop.code


def run_night(lease: "Lease", config: NightlyConfig, args: Args, data: str, start: float) -> int:
    """All of a night, from where it stands.

    Args:
        data: digest of the set that the source makes.
    """
    from cxr.nightly import pointer, report, retention, trend

    root, day = lease.store, args.date
    latest = pointer.close_earlier(lease)
    if latest.night > day:
        raise BadInput(f"--date {day}: latest is a later night already, {latest.night}; give one after it")
    tonight = prepare_night(lease, config, day, data)
    found = generate_and_judge(lease, config, day, tonight.recipe)
    if found.passed and latest.night != day:
        latest = report.build_pointer(found)
        pointer.move_latest(lease, latest)
    lease.check()
    trend.update_trend(root, found)
    for place in retention.remove_old_nights(lease, args.keep, day, latest):
        note(f"removed {root.uri}/{place}")
    timings = {"total": time.monotonic() - start}
    return print_summary(root, day, tonight.make(lambda: report.complete(tonight, found, timings)))


def forecast(root: Store, config: NightlyConfig, day: str, data: str) -> Forecast:
    """What the night would do, as far as the last ones have not done it.

    Args:
        data: digest of the set that the source makes.
    """
    from cxr.nightly import pointer
    from cxr.nightly.forecast import forecast_time

    places = {ingest: below(root, f"{DATA}{data}")}
    if read_record(places[ingest]):
        base = parse_config(finetune, config.finetune)
        recipe = training_recipe(base, places[ingest])
        places[finetune] = below(root, f"{MODELS}{recipe_digest(recipe)}")
    places |= {step: below(root, f"{NIGHTS}{day}/{name}") for step, name in ((generate, SET), (evaluate, EVALUATION))}
    places |= {audit: below(root, f"{NIGHTS}{day}/{AUDIT}")} if config.audit else {}
    there = [step_name(step) for step, place in places.items() if read_record(place)]
    todo = [step for step in STEPS if step_name(step) not in there and (step is not audit or config.audit)]
    words = "; ".join(f"{step_name(step)} ({getattr(config, step_name(step))})" for step in todo)
    latest = pointer.read_latest(root)
    return Forecast(
        f"the source {config.source}; latest is {latest.night or 'no night yet'}",
        f"the night of {day}: {words or 'only its report'}" + (f"; there already: {', '.join(there)}" if there else ""),
        "what these steps need; each says it with a --dry-run of its own",
        *forecast_time(root, map(step_name, todo), latest),
    )


def prepare_night(lease: "Lease", config: NightlyConfig, day: str, digest: str) -> "NightReport":
    """Brings in what is new in the source and trains where data or recipe are new; returns the begun night."""
    from cxr.ingest.job import content_digest
    from cxr.nightly import report, retention, steps

    root = lease.store
    data = below(root, f"{DATA}{digest}")
    record = steps.ensure_step(
        lease, "ingest", data, build_command(ingest, config.ingest, source=config.source, out=data.uri)
    )
    if content_digest(record.recipe, record.inputs.get("marks", "")) != digest:
        retention.remove_artifact(root, f"{DATA}{digest}/")
        raise BadInput(f"--source {config.source}: changed while it was read; run the same command again")
    base = parse_config(finetune, config.finetune)
    model_digest = recipe_digest(training_recipe(base, data))
    tonight = report.begin(root, config, day, digest, model_digest)
    model = below(root, f"{MODELS}{model_digest}")
    steps.ensure_step(lease, "finetune", model, build_command(finetune, config.finetune, data=data.uri, out=model.uri))
    return tonight


def generate_and_judge(lease: "Lease", config: NightlyConfig, day: str, recipe: dict[str, Any]) -> "Report":
    """Generates the night's set, evaluates it and, if asked to, audits it."""
    from cxr.nightly import gate, pointer, report, steps

    root, base = lease.store, parse_config(finetune, config.finetune)
    data, model = below(root, f"{DATA}{recipe['data']}"), below(root, f"{MODELS}{recipe['model']}")
    generated, evaluation = (below(root, f"{NIGHTS}{day}/{name}") for name in (SET, EVALUATION))
    weights = {"model": base.model, "lora": model.uri} if base.trains_lora else {"model": model.uri}
    words = build_command(
        generate, config.generate, **weights, seed=date.fromisoformat(day).toordinal(), out=generated.uri
    )
    generated_record = steps.ensure_step(lease, "generate", generated, [*words, "--retry-failed"])
    last = pointer.read_earlier(root, day)
    earlier = below(root, f"{NIGHTS}{last.night}/{EVALUATION}")  # has the features of the real set, if that is the same
    again = {"features": earlier.uri} if last.night and read_record(earlier) else {}
    words = build_command(
        evaluate, config.evaluate, real=data.uri, synthetic=generated.uri, out=evaluation.uri, **again
    )
    evaluation_record = steps.ensure_step(lease, "evaluate", evaluation, words)
    audit_record = None
    if config.audit:
        place = below(root, f"{NIGHTS}{day}/{AUDIT}")
        sets = {"real": data.uri, "synthetic": generated.uri}
        words = build_command(audit, config.audit, **sets, model=model.uri, base=base.model, out=place.uri)
        audit_record = steps.ensure_step(lease, "audit", place, words)
    metrics = gate.read_metrics(evaluation, evaluation_record, audit_record)
    return report.build_report(day, recipe, generated_record, metrics, config, last)


def training_recipe(base: FinetuneConfig, data: Store) -> dict[str, Any]:
    """As the fine-tuned model's record will have it."""
    from cxr.data.catalog import read_set
    from cxr.finetune.config import identity
    from cxr.weights import resolve, resolve_lora

    lora = resolve_lora(base.lora).digest if base.lora else None
    return identity(base, resolve(base.model).digest, read_set(data).digest, lora)


def digest_source(config: NightlyConfig) -> str:
    """The digest of the set that ingest would make of the source as it is now."""
    from cxr.ingest import job

    asked = parse_config(ingest, config.ingest)
    with tempfile.TemporaryDirectory() as folder:
        rows = ingest.read_rows(parse_args(ingest, config.ingest), config.source, asked)
        return job.prepare(open_store(f"{folder}/none"), asked, rows, Path(folder)).content_digest


def step_name(step: Any) -> str:
    return step.__name__.rpartition(".")[2]


def build_command(step: Any, words: str, **filled: object) -> list[str]:
    """The command line of a step; what is filled in comes last, and so it counts."""
    options = [word for name, value in filled.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "cxr", step_name(step), *shlex.split(words), *options]


def parse_args(step: Any, words: str) -> Any:
    return cli.parse(step.Args, [*shlex.split(words), *STEPS[step]])


def parse_config(step: Any, words: str) -> Any:
    """The step's configuration."""
    return step.build_config(parse_args(step, words))


def print_summary(root: Store, day: str, record: Record) -> int:
    """Prints how the night ended; returns the exit code."""
    from cxr.nightly import pointer, report, trend

    gate, latest = NightMetrics.read(record), pointer.read_latest(root).night or "no night yet"
    print(
        f"{gate.verdict}; latest is {latest}, in {record.timings['total']:.0f} s",
        file=sys.stdout if gate.passed else sys.stderr,
    )
    print(f"look at {report.report_store(root, day).uri}/{report.PAGE_KEY} and {root.uri}/{trend.PAGE_KEY}")
    return cli.DONE if gate.passed else cli.SOME_FAILED


def build_config(args: Args) -> NightlyConfig:
    """The configuration; every step's words are checked before the first one begins."""
    try:
        if date.fromisoformat(args.date).isoformat() != args.date:
            raise ValueError
    except ValueError:
        raise BadInput(f"--date {args.date[:60]!r}: not a day; give one as 2026-11-21") from None
    if args.keep < 1:
        raise BadInput(f"--keep {args.keep}: give a number from 1")
    config = args.config
    parse_source(config.source)
    for step in STEPS:
        words = getattr(config, step_name(step))
        if step is audit and not words:
            continue
        try:
            parse_config(step, words)
        except (BadInput, ValueError) as error:
            raise BadInput(f"--{step_name(step)} {words[:200]!r}: {error}") from None
    return config
