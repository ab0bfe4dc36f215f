"""Claim: at least 1.4 times the images a second of the usual notebook loop, same steps and noise, on one thread.

The usual loop: diffusers' pipeline as it comes, one prompt at a time, `image.save(...)` by Pillow. Ours: the job's
sampler at its batch of 8, its PNG, its local store with commits. Same process, same thread count, in turns; the
pictures must agree within one gray level.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
import tyro
from _side_by_side import side_by_side, verdict
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image

from cxr import recipes
from cxr.data.catalog import image_key
from cxr.generate import job
from cxr.generate.plan import template_rows
from cxr.store import open_store

GOAL = 1.4
IMAGES = 8


class Notebook:
    """What the tutorials do."""

    def __init__(self, ready: job.GenerateJob, rows: list[dict], folder: Path) -> None:
        self.pipe = StableDiffusionPipeline.from_pretrained(
            ready.model.path, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
        )
        self.pipe.scheduler = DPMSolverMultistepScheduler.from_config(self.pipe.scheduler.config)
        self.pipe.set_progress_bar_config(disable=True)
        self.sampler, self.rows, self.folder = ready.config.sampler, rows, folder

    def __call__(self) -> None:
        side = self.sampler.size // self.pipe.vae_scale_factor
        for row in self.rows:
            generator = torch.Generator().manual_seed(row["seed"])
            image = self.pipe(
                row["prompt"],
                num_inference_steps=self.sampler.steps,
                guidance_scale=self.sampler.guidance,
                height=self.sampler.size,
                width=self.sampler.size,
                latents=torch.randn((1, self.pipe.unet.config.in_channels, side, side), generator=generator),
            ).images[0]
            image.save(self.folder / f"{row['image_id']}.png")


def main(model: str = "tiny") -> None:
    config = recipes.replace_fields(recipes.tiny(), model=model, per_finding=IMAGES, findings="Lung_Opacities")
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as folder:
        ready = job.prepare(open_store(out), config, template_rows(config), Path(folder), print)
        job.begin(ready, retry_failed=False)
        maker = job.GeneratorFactory(ready.store, config, ready.model.digest)()  # sets the thread count, for both
        rows = maker.rows(0)
        keep = job.UnitWriter(ready.store, config.layout, job.provenance(ready))
        sides = side_by_side(lambda: keep(0, rows, maker.make(rows), ""), Notebook(ready, rows, Path(folder)))
        apart = [difference(Path(out), Path(folder), row) for row in rows]
    assert max(apart) <= 1, f"the pictures differ by {max(apart)} gray levels"
    print(
        f"{IMAGES} images of {config.sampler.size} px, {config.sampler.steps} steps, {torch.get_num_threads()} thread"
    )
    print(f"  ours {IMAGES / sides.our_median:.3f} images/s, notebook {IMAGES / sides.their_median:.3f} images/s")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    print(f"  largest difference {max(apart):.2f} gray levels")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times the notebook's images/s (at least {GOAL})")


def difference(ours: Path, theirs: Path, row: dict) -> float:
    """Largest difference of a picture in gray levels; theirs is RGB, its gray the mean of the channels."""
    gray = np.asarray(Image.open(ours / image_key(row["finding"], row["image_id"])), np.float64)
    colour = np.asarray(Image.open(theirs / f"{row['image_id']}.png"), np.float64)
    return float(np.abs(gray - colour.mean(axis=2)).max())


if __name__ == "__main__":
    tyro.cli(main)
