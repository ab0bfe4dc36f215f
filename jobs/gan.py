"""Train a GAN on small pictures and see what it makes: `python jobs/gan.py RECIPE --data digits --out URI`."""

from cxr import cli
from cxr.jobs.gan import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
