"""Claim: UNet and VAE calls alone are at least 0.95 of the whole job's compute, with tiny at batch 8.

Compute is the CPU time of one process, all its threads. The whole job: its plan into the store, text encoding,
sampling, PNG, storing, commits, catalog, card, contact sheet, record. What happens once before it is told apart:
imports, writing the plan, loading the weights.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tyro
from _side_by_side import verdict

from cxr import recipes
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.generate import job
from cxr.generate.plan import template_rows
from cxr.store import open_store

GOAL = 0.95
PER_FINDING = 8  # of ten findings: ten units of eight


class Meter:
    """CPU seconds inside the calls it is put around."""

    seconds = 0.0

    def around(self, call: Callable) -> Callable:
        def metered(*args, **kwargs):
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - start

        return metered


def main(model: str = "tiny") -> None:
    config = recipes.replace_fields(recipes.tiny(), model=model, per_finding=PER_FINDING)
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as folder:
        ready = job.prepare(open_store(out), config, template_rows(config), Path(folder), print)
        began = time.process_time()
        pending = job.begin(ready, retry_failed=False).pending
        loading = time.process_time()
        maker = job.GeneratorFactory(ready.store, config, ready.model.digest)()
        loaded = time.process_time()
        network, shares = run(ready, maker, pending.to_pylist())
        job.complete(ready, "CPU", {})
        done = time.process_time()
    whole = done - loaded + loading - began
    print(f"{ready.plan.images} images of {config.sampler.size} px, {config.sampler.steps} steps, model {model}")
    print(f"  before: {began:.1f} s CPU for imports and plan, {loaded - loading:.1f} s for loading the weights")
    print(f"  UNet + VAE calls {network:.2f} s CPU, whole job {whole:.2f} s CPU")
    print(f"  by unit, without the job's beginning and end: median {statistics.median(shares):.4f}")
    verdict(network / whole >= GOAL, f"{network / whole:.4f} of the compute is in the network (at least {GOAL})")


def run(ready: job.GenerateJob, maker: job.UnitGenerator, units: list[int]) -> tuple[float, list[float]]:
    """Makes and stores the units; CPU seconds in the network, and its share of each unit."""
    keep = job.UnitWriter(ready.store, ready.config.layout, job.provenance(ready))
    model, meter, shares = maker.sampler.model, Meter(), []
    if not isinstance(model, StableDiffusion):
        raise TypeError(f"{model}: its networks are not known here")
    pipe = model.pipe
    pipe.unet.forward, pipe.vae.decode = meter.around(pipe.unet.forward), meter.around(pipe.vae.decode)
    for unit in units:
        start, before = time.process_time(), meter.seconds
        rows = maker.rows(unit)
        keep(unit, rows, maker.make(rows), "")
        shares.append((meter.seconds - before) / (time.process_time() - start))
    return meter.seconds, shares


if __name__ == "__main__":
    tyro.cli(main)
