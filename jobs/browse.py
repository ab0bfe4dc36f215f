"""Look at what there is, in one page without a server: `python jobs/browse.py URI... --out URI`."""

from cxr import cli
from cxr.jobs.browse import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
