"""Make what the package embeds, from phantoms; `python jobs/pretrain.py RECIPE --out FOLDER`."""

from cxr import cli
from cxr.jobs.pretrain import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
