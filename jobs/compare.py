"""Finished studies side by side: `python jobs/compare.py STUDY STUDY --out URI`."""

from cxr import cli
from cxr.jobs.compare import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
