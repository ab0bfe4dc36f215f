"""How good, how diverse, how many near-duplicates: `jobs/evaluate.py RECIPE --real URI --synthetic URI --out URI`."""

from cxr import cli
from cxr.jobs.evaluate import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
