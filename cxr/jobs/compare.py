"""Finished studies side by side: `cxr compare STUDY STUDY ... --out URI`.

Exit code 0: all there. 2: bad input, as studies of different real sets.
"""

from dataclasses import dataclass

from tyro.conf import Positional

from cxr import cli
from cxr.store import open_store


@dataclass(frozen=True)
class Args:
    studies: Positional[tuple[str, ...]]
    """The studies, two or more: each a folder or s3://bucket/prefix that `cxr study` wrote."""
    out: str
    """Where page and tables go: a folder or s3://bucket/prefix."""


def main(args: Args) -> int:
    """Put finished studies of one real set side by side: generators, differences with intervals, what differs."""
    store = open_store(args.out)
    store.check()
    places = [open_store(uri) for uri in args.studies]
    for place in places:
        place.check(write=False)
    from cxr.study import compare

    job = compare.prepare(store, places)
    if record := job.take_finished():
        print(f"already there: {store.uri}")
    else:
        record = job.make(lambda: compare.write(job))
    for line in (*compare.describe_differences(job.studies), *record.metrics["answers"]):
        print(line)
    print(f"look at {store.uri}/{compare.PAGE_KEY}, read {store.uri}/{compare.TABLE_KEY} and {compare.CSV_KEY}")
    return cli.DONE
