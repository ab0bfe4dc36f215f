"""Everything that touches Ray. A loop elsewhere takes iterables and callables; here they meet workers.

Import from here.

session.py       the cluster a job runs on
unit_stages.py   units of work over Ray Data: run_units, run_rows
trials.py        training together by Ray Train, and trials side by side: train, train_trials, run_trials
metrics.py       GPU time and retries: for the last line, and for Prometheus
user_errors.py   how a user's error in a worker reaches the job with its own message
watch.py         ends a job whose cluster has gone away
"""

import os

if os.environ.get("RAY_AUTH_TOKEN") and os.environ.get("RAY_ADDRESS"):
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads it when it is imported

from cxr.cluster.metrics import COMPUTE_USAGE
from cxr.cluster.session import (
    check_room,
    default_workers,
    describe_devices,
    has_gpu,
    max_threads_per_worker,
    session,
    worker_cpus,
)
from cxr.cluster.trials import SendMessage, WorkersDied, run_trials, share, train, train_trials
from cxr.cluster.unit_stages import UnitDone, run_rows, run_units
