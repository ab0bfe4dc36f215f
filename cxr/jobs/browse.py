"""Look at what there is, in one page without a server: `cxr browse URI... --out URI`.

Exit code 0: the page is there. 2: bad input, as a folder that holds no finished artifact: nothing is written.
"""

from dataclasses import dataclass
from typing import Literal

from tyro.conf import Positional

from cxr import cli
from cxr.errors import BadInput
from cxr.progress import note, progress
from cxr.store import open_store


@dataclass(frozen=True)
class Args:
    uris: Positional[tuple[str, ...]]
    """What to look at: places of finished artifacts, or of folders or prefixes that hold some, as a place of nights."""
    out: str
    """Where the page goes: a folder or s3://bucket/prefix."""
    most: int = 20_000
    """Pictures of a set; of a larger one so many are drawn at random, and the page says so."""
    pictures: Literal["full", "thumbnails"] = "full"
    """Whether the page holds each picture at its own size, to be opened, or thumbnails alone."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Make one static page over sets, models, evaluations, audits, studies and nights.

    Sets are galleries with filters, records are told in words, and a drawing says what was made from what.
    """
    from cxr.browse.job import MOST, prepare, write
    from cxr.browse.page import count_artifacts
    from cxr.browse.words import size_in_words

    if not args.uris:
        raise BadInput("give one place or more, each the --out of a job")
    if not 1 <= args.most <= MOST:
        raise BadInput(f"--most {args.most}: give a number from 1 to {MOST:,}")
    store = open_store(args.out)
    store.check()
    job = prepare(store, args.uris, args.most, args.pictures)
    if job.take_finished():
        print(f"already there: {store.uri}/index.html")
    elif args.dry_run:
        from cxr.browse.forecast import forecast

        print(forecast(job).text(store.uri))
        return cli.DONE
    else:
        if job.sets:
            note(f"{job.pictures:,} pictures, {job.recipe['pictures']}: about {size_in_words(job.expected_bytes)}")
        with progress("browse", job.pictures, "pictures") as advance:
            record = job.make(lambda: write(job, advance))
        print(f"{count_artifacts(job.given)}, {job.pictures:,} pictures, {size_in_words(record.made.bytes)}")
        print(f"open {store.uri}/index.html")
    if job.privacy.stays:
        print(f"it stays with its owner: {'; '.join(job.privacy.reasons)}")
    return cli.DONE
