"""Does synthetic data help? `python jobs/study.py RECIPE --real URI --synthetic URI --out URI`."""

from cxr import cli
from cxr.jobs.study import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
