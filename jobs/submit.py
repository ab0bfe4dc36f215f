"""Run a job on a Ray cluster and follow it."""

import sys

from cxr import cli
from cxr.jobs.submit import main

if __name__ == "__main__":
    cli.leave(cli.guard(lambda: main(sys.argv[1:])))
