"""A blind reader study: `cxr reader prepare --real SET --synthetic SET --out URI`, then `cxr reader score`.

Exit code 0: all there. 2: bad input, as an unfinished reader's answers: nothing is written.
"""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from cxr import cli
from cxr.errors import BadInput
from cxr.progress import progress
from cxr.store import open_store

MOST_READERS, MOST_CASES, MIN_CASES, MIN_SIZE = 100, 10_000, 10, 28


@dataclass(frozen=True)
class Prepare:
    """Make a page for each reader, and the key to them."""

    real: str
    """The real set: a folder or s3://bucket/prefix that jobs/ingest.py wrote."""
    synthetic: str
    """The synthetic set."""
    out: str
    """Where pages and key go: a folder or s3://bucket/prefix. They show real X-rays."""
    readers: int = 3
    """How many readers. Each reads all cases, in an order of its own."""
    cases: int = 150
    """How many cases, half of them synthetic; an even number."""
    size: int | None = None
    """Pixels on a side; no more than the smallest picture has. By default that, and 512 at most."""
    seed: int = 0
    """Of the draw of cases, and of their orders."""
    plan: bool = False
    """Only say what so many readers and cases could find, and how many cases would find more."""


@dataclass(frozen=True)
class Score:
    """Say what the readers' answers mean."""

    study: Positional[str]
    """The --out of `prepare`, with its key."""
    answers: Positional[tuple[str, ...]]
    """The files that the readers' pages saved, one a reader."""
    out: str
    """Where page and tables go: a folder or s3://bucket/prefix."""


@dataclass(frozen=True)
class Args:
    step: Annotated[
        Annotated[Prepare, subcommand("prepare")] | Annotated[Score, subcommand("score")],
        OmitArgPrefixes,
        OmitSubcommandPrefixes,
    ]


def main(args: Args) -> int:
    """Have readers say which X-rays are real, without anything but the pixels to go by."""
    return prepare(args.step) if isinstance(args.step, Prepare) else score(args.step)


def prepare(args: Prepare) -> int:
    check_options(args)
    store = open_store(args.out)
    if not args.plan:
        store.check()
    from cxr.data.catalog import read_set
    from cxr.reader import job as study
    from cxr.reader.cases import describe_parts

    real, synthetic = (read_set(open_store(uri)) for uri in (args.real, args.synthetic))
    job = study.prepare(store, real, synthetic, args.readers, args.cases, args.size, args.seed)
    print(f"{args.cases} cases, half of them synthetic; the real ones: {describe_parts(job.cases)}")
    if args.plan:
        return show_plan(args)
    if job.take_finished():
        print(f"already there: {store.uri}")
    else:
        with progress("read", args.cases, "pictures") as advance:
            pictures = study.read_pictures(job, advance)
        job.make(lambda: study.write(job, pictures))
    print(f"give each reader one page: {store.uri}/reader-1.html and so on; they show X-rays of patients")
    print(f"keep {store.uri}/{study.KEY}, which says what each case is, to yourself")
    return cli.DONE


def show_plan(args: Prepare) -> int:
    from cxr.reader.plan import ASSUMED, plan_table
    from cxr.report.pages import markdown_table

    print(f"with {args.readers} readers:\n{markdown_table(*plan_table(args.readers, args.cases))}\n{ASSUMED}")
    return cli.DONE


def check_options(args: Prepare) -> None:
    if not 1 <= args.readers <= MOST_READERS:
        raise BadInput(f"--readers {args.readers}: give a number from 1 to {MOST_READERS}")
    if not MIN_CASES <= args.cases <= MOST_CASES or args.cases % 2:
        raise BadInput(f"--cases {args.cases}: give an even number from {MIN_CASES} to {MOST_CASES}")
    if args.size is not None and args.size < MIN_SIZE:
        raise BadInput(f"--size {args.size}: give {MIN_SIZE} or more")


def score(args: Score) -> int:
    store = open_store(args.out)
    store.check()
    from cxr.reader import score as scores

    job = scores.prepare(store, open_store(args.study), args.answers)
    if record := job.take_finished():
        print(f"already there: {store.uri}")
    else:
        record = job.make(lambda: scores.write(job))
    for line in record.metrics["answers"]:
        print(line)
    print(f"look at {store.uri}/{scores.PAGE_KEY}, read {store.uri}/{scores.RESULTS_KEY} and {scores.CSV_KEY}")
    return cli.DONE
