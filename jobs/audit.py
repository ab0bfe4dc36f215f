"""Is it safe to share? Attacks on a synthetic set: `jobs/audit.py RECIPE --real URI --synthetic URI --out URI`."""

from cxr import cli
from cxr.jobs.audit import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
