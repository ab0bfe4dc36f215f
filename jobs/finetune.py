"""Fine-tune a diffusion model on X-rays: `python jobs/finetune.py RECIPE --data URI --out URI`."""

from cxr import cli
from cxr.jobs.finetune import Args, main

if __name__ == "__main__":
    cli.run(Args, main)
