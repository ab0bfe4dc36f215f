"""Bring real X-rays in: `python jobs/ingest.py RECIPE --source KIND:PLACE --out URI`."""

from cxr import cli
from cxr.jobs.ingest import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
