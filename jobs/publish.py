"""Hand a synthetic set or a model on: `python jobs/publish.py SET --to DIR --audit URI`."""

from cxr import cli
from cxr.jobs.publish import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
