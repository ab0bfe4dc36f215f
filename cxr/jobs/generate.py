"""Generate labelled X-rays from prompts: `cxr generate RECIPE --out URI`.

Exit code 0: all there. 2: bad input. 3: all but failed units (`--retry-failed` tries them again), or fewer pictures
accepted than --quota.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.errors import BadInput, SomeFailed
from cxr.generate.config import MAX_IMAGES, Balance, GenerateConfig
from cxr.progress import note, progress
from cxr.prompts.findings import BINARY, FINDINGS
from cxr.prompts.lists import PromptRow, parse_asked_findings, read_prompts, typed_prompt
from cxr.store import Store, open_store, sha256
from cxr.weights import check_extractor_spec, check_lora_spec, check_spec
from cxr.weights.names import ALIASES, EMBEDDED_LORAS

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.data.catalog import CatalogSet
    from cxr.generate.job import GenerateJob
    from cxr.generate.like import LikeSet


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.GENERATE
    recipe: Suppress[str]
    config: cli.FromRecipe[GenerateConfig]
    out: str | None = None
    """Where the set goes: a local folder or s3://bucket/prefix. Of --prompt alone by default out/one/ and a digest."""
    prompt: str | None = None
    """Your own, one: what the picture shows, in words."""
    count: int | None = None
    """Pictures of --prompt, each from another seed; by default 1."""
    show: bool = False
    """Display what was made, in a notebook or on a screen: the picture, or of several the contact sheet."""
    prompts: Path | None = None
    """A list: .csv, .tsv, .jsonl, .parquet (columns prompt, finding, negative_prompt, count, seed, view, sex, age), or
    .txt lines."""
    like: str | None = None
    """A set: ask for findings, view, sex and age as they come together in its training part."""
    images: int | None = None
    """Pictures of --like; by default as many as its training part has."""
    real: str | None = None
    """Of --accept: the set that pictures are judged by, as cxr ingest made it; its test part is never looked at."""
    balance: Balance | None = None
    """Of --like: draw so that each finding, sex, age group or view comes alike often."""
    workers: int | None = None
    """Samplers at work side by side; by default one for each GPU, or for each core. Does not change the pictures."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    retry_failed: bool = False
    """Try the units again that failed before."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Generate labelled X-rays from prompts with a diffusion model, on any number of workers, to a folder or bucket."""
    start = time.monotonic()
    config = build_config(args)
    store = open_store(output_place(args, config))
    store.check()
    judge, extractor = read_judge(args)
    from cxr.generate import finish, job  # heavy: only for input that can be used

    asked = read_like(args) or read_own_prompts(args, note) or None
    with tempfile.TemporaryDirectory() as folder:
        usual = recipes.GENERATE[args.recipe]().sampler
        ready = job.prepare(store, config, asked, Path(folder), note, judge, extractor, usual=usual)
        if judge is not None:
            from cxr.evaluate.judge import check_judge

            check_judge(judge, config.filter, ready.plan.vocabulary, ready.plan.findings)
        if record := ready.take_finished():
            print(f"already there: {record.made.count} images in {store.uri}")
            display(store, args)
            return check_quota(record)
        if args.dry_run:
            from cxr.generate.forecast import forecast

            print(forecast(ready).text(store.uri))
            return cli.DONE

        def work() -> "Record":
            if judge is not None:
                from cxr.jobs.together.accepted import generate_accepted

                return generate_accepted(ready, judge, args.workers, args.retry_failed, start)
            device = generate_units(ready, args)
            return job.complete(ready, device, {"total": time.monotonic() - start})

        record = ready.make(work)
    from cxr.cluster import COMPUTE_USAGE

    took = COMPUTE_USAGE.summary(record.timings["total"])
    print(f"{record.made.count} images, {record.made.bytes / 1e6:.1f} MB, {took}: {store.uri}")
    print(f"look at {store.uri}/{finish.SHEET_KEY}, read {store.uri}/{finish.CARD_KEY}")
    display(store, args)
    return check_quota(record)


def check_quota(record: "Record") -> int:
    """Says how a filtered set was chosen; the exit code."""
    from cxr.artifact.metrics import FilterMetrics
    from cxr.data.candidates import describe_filter

    if (chosen := FilterMetrics.read(record).filter) is None:
        return cli.DONE
    for line in describe_filter(chosen):
        print(line)
    return cli.SOME_FAILED if chosen.short else cli.DONE


def read_judge(args: Args) -> "tuple[CatalogSet | None, str]":
    """The real pictures that generated ones are judged by, and the digest of the extractor; None where none are."""
    if args.real is None:
        return None, ""
    from cxr.data.catalog import read_set
    from cxr.evaluate.judge import without_test_part
    from cxr.weights import resolve_extractor

    real = without_test_part(read_set(open_store(args.real)))
    return real, resolve_extractor(args.config.filter.extractor).digest


def generate_units(ready: "GenerateJob", args: Args) -> str:
    """Makes every unit that is neither stored nor given up; returns the device.

    Raises:
        SomeFailed: units are given up, now or earlier.
    """
    from cxr import cluster
    from cxr.generate import job
    from cxr.jobs.together.units import describe_failures, make_units

    state = job.begin(ready, args.retry_failed)
    failures = len(state.failed)
    with (
        cluster.session((args.workers or 0) * ready.config.sampler.threads),
        progress("generate", ready.plan.images, "images", state.stored_images) as advance,
    ):
        for done in make_units(ready, state.pending, args.workers or cluster.default_workers()):
            failures += bool(done.error)
            advance(done.images, f"{failures} units failed" if failures else "")
        if failures:
            raise SomeFailed(describe_failures(ready, failures))
        return cluster.describe_devices()


def display(store: Store, args: Args) -> None:
    """Names the files of --prompt; with --show displays the picture, or of several the contact sheet."""
    from cxr.data.catalog import read_files, read_set
    from cxr.generate.finish import SHEET_KEY
    from cxr.screen import show

    table = read_set(store).table
    for key in table["key"].unique().to_pylist() if args.prompt else ():
        print(f"{store.uri}/{key}")
    if not args.show:
        return
    picture = next(read_files(store, table))[1] if len(table) == 1 else store.get(SHEET_KEY)
    if not show(picture):
        note("--show: neither a notebook nor a screen is here; open the file")


def build_config(args: Args) -> GenerateConfig:
    """The configuration, checked as far as needs no library and no network."""
    check_prompt_options(args)
    check_filter_options(args)
    cli.check_workers(args.workers)
    extractor = check_extractor_spec(args.config.filter.extractor)
    filtered = args.config.filter.model_copy(update={"extractor": extractor})
    config = args.config.with_candidates.model_copy(update={"filter": filtered})
    known = config.model in ALIASES and config.lora in (None, *EMBEDDED_LORAS)  # of others a record tells
    if known and config.findings != "all":
        parse_asked_findings(config.findings, FINDINGS + BINARY if config.model == "tiny" else ())
    places = {"model": check_spec(config.model), "lora": check_lora_spec(config.lora) if config.lora else None}
    check_prompts(args)
    return config.model_copy(update=places)


def output_place(args: Args, config: GenerateConfig) -> str:
    """Where the set goes; pictures of --prompt have a place of their own for whatever is asked.

    Raises:
        BadInput: no place is given, and there is no --prompt.
    """
    if args.out is not None:
        return args.out
    if args.prompt is None:
        raise BadInput("--out: missing; give a local folder or s3://bucket/prefix (only --prompt does without)")
    asked = json.dumps([config.model_dump(mode="json", exclude={"templates"}), args.prompt, args.count or 1])
    return f"out/one/{sha256(asked.encode())[:12]}"


def check_prompt_options(args: Args) -> None:
    """`BadInput` if the prompts are given in two ways."""
    asked, usual = args.config, recipes.GENERATE[args.recipe]()
    for option in ("prompt", "prompts", "like"):
        if getattr(args, option) is None:
            continue
        if (asked.findings, asked.per_finding) != (usual.findings, usual.per_finding):
            raise BadInput(f"--{option} brings its own findings and counts; leave out --findings and --per-finding")
        if asked.templates and option != "like":
            raise BadInput(f"--{option} brings its own words; leave out --templates")
    if args.prompt is not None and args.prompts:
        raise BadInput("--prompt is one prompt, --prompts a list of them; give one of the two")
    if args.like is not None and (args.prompt is not None or args.prompts):
        raise BadInput("--like asks for what a set has, --prompt and --prompts for what they say; give one of them")
    for option in ("images", "balance"):
        if getattr(args, option) is not None and args.like is None:
            raise BadInput(f"--{option} is of --like; give the set that the new one is to be like")
    if args.images is not None and not 1 <= args.images <= MAX_IMAGES:
        raise BadInput(f"--images {args.images}: give a number from 1 to {MAX_IMAGES:,}")
    if args.count is not None and args.prompt is None:
        raise BadInput("--count is of --prompt; a list has a column for it, and findings have --per-finding")


def check_filter_options(args: Args) -> None:
    """`BadInput` if pictures are filtered in a way that cannot be."""
    asked, usual = args.config, recipes.GENERATE[args.recipe]()
    if not asked.filter.tests:
        if args.real is not None:
            raise BadInput("--real is of --accept; give the tests that a picture must pass, or leave it out")
        return
    if args.real is None:
        raise BadInput("--accept: give --real too, the set that pictures are judged by")
    if option := next((name for name in ("prompt", "prompts", "like") if getattr(args, name) is not None), None):
        raise BadInput(f"--accept: fills a quota of each finding of --findings; leave out --{option}")
    if asked.per_finding != usual.per_finding:
        raise BadInput("--per-finding: --quota takes its place with --accept; leave it out")
    if asked.layout != "folder":
        raise BadInput("--layout shards: --accept takes out single pictures; leave it out (publish writes shards)")


def read_like(args: Args) -> "LikeSet | None":
    """The set of --like, with what it is to be asked."""
    if args.like is None:
        return None
    from cxr.data.catalog import read_set
    from cxr.generate.like import LikeSet

    return LikeSet(read_set(open_store(args.like)), args.images, args.balance)


def read_own_prompts(args: Args, notes: Callable[[str], None]) -> Iterable[PromptRow]:
    """What the user typed or listed; nothing if they are to be the model's or the templates'."""
    if args.prompt is not None:
        return [typed_prompt(args.prompt, 1 if args.count is None else args.count, notes)]
    return read_prompts(args.prompts, notes) if args.prompts else ()


def check_prompts(args: Args) -> None:
    """Reads the user's prompts through once, so that their mistakes are reported before anything heavy is loaded."""
    asked = sum(row.count for row in read_own_prompts(args, lambda line: None))
    if asked > MAX_IMAGES:
        raise BadInput(
            f"{args.prompts}: asks for {asked:,} images, a set holds {MAX_IMAGES:,}; split it over several --out"
        )
