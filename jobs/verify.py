"""Read an artifact back, every object: `python jobs/verify.py URI`."""

from cxr import cli
from cxr.jobs.verify import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
