"""Generate labelled X-rays from prompts: `python jobs/generate.py RECIPE --out URI`."""

from cxr import cli
from cxr.jobs.generate import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
