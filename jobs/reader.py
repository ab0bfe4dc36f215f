"""A blind reader study: `python jobs/reader.py prepare --real SET --synthetic SET --out URI`, then `score`."""

from cxr import cli
from cxr.jobs.reader import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
