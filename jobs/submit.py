"""Run a job on a Ray cluster and follow it."""

from cxr import cli
from cxr.jobs.submit import main

if __name__ == "__main__":
    cli.leave(cli.guard(main))
