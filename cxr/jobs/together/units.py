"""Units of a generated set, made and stored."""

from collections.abc import Iterator

import pyarrow as pa

from cxr import cli, cluster
from cxr.cluster import UnitDone
from cxr.generate import job
from cxr.generate.job import GenerateJob


def make_units(ready: GenerateJob, units: pa.Array, workers: int) -> Iterator[UnitDone]:
    """Makes and stores these units in an open session."""
    if not len(units):
        return iter(())
    config = ready.config
    factory = job.GeneratorFactory(ready.store, config, ready.model.digest, ready.lora.digest if ready.lora else None)
    writer = job.UnitWriter(ready.store, config.layout, job.provenance(ready))
    return cluster.run_units(units, factory, writer, workers, config.sampler.threads)


def describe_failures(ready: GenerateJob, failures: int) -> str:
    return (
        f"{failures} of {ready.plan.units} units failed, the others are stored; {ready.store.uri}/failed/ says why.\n"
        f"Try just those again:\n  {cli.again('--retry-failed')}"
    )
