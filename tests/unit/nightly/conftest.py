"""Nights as the steps leave them, without running any."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxr.artifact import Made, Record, recipe_digest, unit_key
from cxr.nightly import report
from cxr.nightly.config import NightlyConfig
from cxr.nightly.gate import GateMetrics
from cxr.nightly.lease import LENGTH, Lease, read_claim, take_lease
from cxr.nightly.places import LEASES
from cxr.nightly.pointer import Pointer
from cxr.nightly.report import Report
from cxr.store import Store, open_store

CONFIG = NightlyConfig(source="phantom:200", max_excess_distance=10, min_prompt_accuracy=0.6)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "nights"))


@pytest.fixture
def overtaken(store: Store) -> tuple[Lease, Lease]:
    """A holder that has been silent for too long, and the one that took over."""
    early = take_lease(store, LENGTH)
    silence(early)
    return early, take_lease(store, LENGTH)


def silence(lease: Lease) -> None:
    """As if the holder had died long enough ago."""
    claim = read_claim(lease.store, lease.token)
    stale = claim.model_copy(update={"until": datetime.now(UTC) - timedelta(seconds=1)})
    lease.store.put(unit_key(LEASES, lease.token), stale.json_bytes())


def metrics(**changes: object) -> GateMetrics:
    return GateMetrics(
        **{"extractor": "tiny", "measured": "alike", "frechet_distance": 20.0, "excess_distance": 5.0,
           "prompt_accuracy": 0.8, "copy_rate": 0.01,
           "worst_finding": "a_b", "worst_accuracy": 0.7, "beyond_chance": False, **changes}
    )  # fmt: skip


def judged(date: str, last: Pointer | None = None, sources: tuple[str, ...] = (), **changes: object) -> Report:
    """A report of a night with these metrics."""
    made = Record(
        kind="generated images", recipe={}, recipe_digest=recipe_digest({}), objects=[],
        made=Made(count=240, bytes=0, digest=""), metrics={"sources": list(sources)},
    )  # fmt: skip
    places = {"data": "d" * 64, "model": "m" * 64}
    return report.build_report(date, places, made, metrics(**changes), CONFIG, last or Pointer())


def quality(
    frechet: float = 20.0,
    floor: float = 4.0,
    agreement: float | None = 0.8,
    copies: float | None = 0.01,
    findings: dict[str, float] | None = None,
    against: str = "held-out",
) -> bytes:
    """What the gate reads of an evaluation's quality.json: `findings` are lower bounds."""
    bounds = findings or {"a": 0.75, "b_c": 0.7}
    counted = {name: {"share": low, "low": low, "high": 1.0, "count": 7, "total": 10} for name, low in bounds.items()}
    side = {"agree": {"share": agreement, "low": 0.0, "high": 1.0}, "findings": counted, "counts": []}
    seen = agreement and {"findings": list(bounds), "synthetic": side, "real": side}
    distance = {
        "interval": {"value": frechet, "low": 0.0, "high": 99.0},
        "floor": {"value": floor, "low": 0.0, "high": 99.0, "synthetic": frechet},
    }
    rate = {"share": copies, "low": 0.0, "high": 1.0}
    return json.dumps(
        {
            "extractor": "tiny", "synthetic": {"pictures": 240}, "agreement": seen, "against": against,
            "groups": [{"figures": {"frechet_distance": distance}}],
            "copies": None if copies is None else {"rate": rate, "held_out": None, "beyond_chance": copies > 0.03},
        }
    ).encode()  # fmt: skip
