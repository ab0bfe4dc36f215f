"""Pictures are generated and judged by turns, until enough of each finding are accepted."""

import pickle
import time
from functools import partial

import numpy as np
import pyarrow as pa

from cxr import cluster
from cxr.artifact import Record
from cxr.audit.config import AuditConfig
from cxr.audit.duplicates import set_levels
from cxr.data.catalog import CatalogSet
from cxr.detectors.keypoints import KeyPointIndex
from cxr.errors import SomeFailed
from cxr.evaluate.accept import AcceptWorker, measure_diversity
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.judge import prepare_judge
from cxr.generate import filtered, job, quota
from cxr.generate.job import GenerateJob
from cxr.generate.plan import PlanReader
from cxr.jobs.together.units import describe_failures, make_units
from cxr.progress import progress


def generate_accepted(
    ready: GenerateJob, real: CatalogSet, workers: int | None, retry_failed: bool, start: float
) -> Record:
    """Makes and judges pictures of each finding until its quota is accepted or all of its candidates are made.

    Raises:
        SomeFailed: units are given up, now or earlier.
    """
    config, store, seed = ready.config, ready.store, ready.config.seed
    judge = prepare_judge(real, config.filter, seed, search_parts)
    state = job.begin(ready, retry_failed)
    runs, wanted = quota.units_by_finding(ready.plan), config.filter.quota or 0
    reader = PlanReader(ready.plan.path, config.unit_images)
    accepted, stored, failed = filtered.count_accepted(store), state.stored, state.failed

    def reached() -> int:
        return sum(min(wanted, sum(accepted.get(unit, 0) for unit in units)) for units in runs.values())

    with (
        cluster.session((workers or 0) * config.sampler.threads),
        progress("accepted", wanted * len(runs), "images", reached()) as advance,
    ):
        workers, shared = workers or cluster.default_workers(), cluster.share(judge)
        worker = AcceptWorker(store, config.filter.extractor, EvaluateConfig().size)
        while True:
            unjudged = sorted(stored - accepted.keys())
            blocks = ((unit, pickle.dumps(filtered.made_rows(store, reader, unit))) for unit in unjudged)
            for done in cluster.run_rows(blocks, worker, workers, 1, int(cluster.has_gpu()), shared):
                before = reached()
                accepted[done["unit"]] = done["accepted"]
                advance(reached() - before, f"{len(stored) * config.unit_images:,} made")
            todo = quota.next_units(runs, accepted, failed, wanted, config.unit_images)
            if not todo:
                break
            for unit in make_units(ready, pa.array(todo, pa.int32()), workers):
                (failed if unit.error else stored).add(unit.unit)
        if failed:
            raise SomeFailed(describe_failures(ready, len(failed)))
        device = cluster.describe_devices()

    measure = partial(measure_diversity, judge.features, seed=seed)
    return job.complete(ready, device, {"total": time.monotonic() - start}, measure)


def search_parts(training: np.ndarray, validation: np.ndarray) -> tuple[KeyPointIndex, float]:
    """The audit's search for copies of parts of training pictures, and the score that 1 % of validation pictures pass;
    both uint8 [N, S, S]."""
    audit = AuditConfig()
    index = KeyPointIndex(training, np.random.default_rng(audit.seed))
    scores = index.nearest(validation).scores
    return index, set_levels(scores, audit.false_alarms, len(validation), audit.max_p).threshold
