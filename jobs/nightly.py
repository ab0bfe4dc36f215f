"""A set every night, for readers only if it is good enough: `python jobs/nightly.py RECIPE --out URI --date D`."""

from cxr import cli
from cxr.jobs.nightly import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
