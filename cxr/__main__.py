"""The entry point: `cxr JOB ...`, or `python -m cxr JOB ...`."""

import contextlib
import sys

from cxr import cli
from cxr.jobs import describe_jobs, import_job


def main() -> None:
    cli.leave(cli.guard(lambda: run(sys.argv[1:])))


def run(words: list[str]) -> int:
    """Runs the job that the first word names; returns its exit code."""
    jobs = describe_jobs()
    if not words or words[0] in cli.HELP:
        lines = "\n".join(f"  {name:<10}{line}" for name, line in jobs.items())
        with contextlib.suppress(BrokenPipeError):  # who reads it has seen enough
            print(f"usage: cxr JOB ...\n\n{lines}\n\ncxr JOB --help tells a job's recipes and options.")
        return cli.DONE
    name, *rest = words
    job = import_job(name, jobs)
    if name == "submit":  # whose options are another job's
        return job.main(rest)
    return cli.work(job.main, cli.parse(job.Args, rest, job.main.__doc__))


if __name__ == "__main__":
    main()
