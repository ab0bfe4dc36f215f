"""Protect the patients behind a set or a model of version 0.1, before it is shared: `python jobs/protect.py URI`."""

from cxr import cli
from cxr.jobs.protect import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
