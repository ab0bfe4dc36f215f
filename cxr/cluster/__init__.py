"""Everything that touches Ray. A loop elsewhere takes iterables and callables; here they meet workers.

Import from here.

session.py   the cluster a job runs on
units.py     units of work over Ray Data: run_units, run_rows
trials.py    training together by Ray Train, and trials side by side: train, train_trials, run_trials
metrics.py   what both take: for the last line, and for Prometheus
stops.py     how a worker's refusal reaches the job
"""

import os

if os.environ.get("RAY_AUTH_TOKEN") and os.environ.get("RAY_ADDRESS"):
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads it when it is imported

from cxr.cluster.metrics import SPENT
from cxr.cluster.session import check_room, default_workers, device, has_gpu, session, spare_cpus, threads_each
from cxr.cluster.trials import Tell, WorkersDied, run_trials, share, train, train_trials
from cxr.cluster.units import UnitDone, run_rows, run_units

__all__ = [
    "SPENT",
    "Tell",
    "UnitDone",
    "WorkersDied",
    "check_room",
    "default_workers",
    "device",
    "has_gpu",
    "run_rows",
    "run_trials",
    "run_units",
    "session",
    "share",
    "spare_cpus",
    "threads_each",
    "train",
    "train_trials",
]
