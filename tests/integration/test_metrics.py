"""What Prometheus reads of a running session, and that the dashboard asks for nothing else."""

import json
import multiprocessing
import re
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import ray

from cxr import cluster
from cxr.cluster.metrics import LossMetric, UnitMetrics

DASHBOARD = Path(__file__).parents[2] / "k8s" / "grafana.json"
RAYS_OWN = {"ray_node_gram_used", "ray_node_gram_available"}  # where there is a GPU


@pytest.fixture(scope="module")
def told() -> dict[str, float]:
    """What is told in a session of its own, and so in another process than that of tests that share one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(count_and_read).result()


def count_and_read() -> dict[str, float]:
    """{name and labels: value} after three units, one failed and one retried twice, and a step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_metrics_report_interval_ms", "500")
        with cluster.session():
            units = UnitMetrics()
            units.add(images=4, bytes=1000)
            units.add(images=4, bytes=500, retries=2)
            units.add(images=0, error="ValueError: no")
            LossMetric().update({"run": "final", "step": 3, "loss": 0.25})
            return awaited("ray_cxr_loss")


def awaited(name: str) -> dict[str, float]:
    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            text = urllib.request.urlopen(url, timeout=5).read().decode()
        except OSError:
            text = ""
        if name in text:
            return {
                labelled(line): float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if "ray_cxr" in line[:8]
            }
        time.sleep(0.5)
    raise TimeoutError(f"{url} does not tell {name}")


def labelled(line: str) -> str:
    """`name` or `name{state=done}`, without the labels that Ray adds."""
    ours = re.findall(r'\b(state|run)="(\w+)"', line)
    return re.split(r"[{ ]", line)[0] + "".join(f"{{{name}={value}}}" for name, value in ours)


def test_units_pictures_bytes_and_loss_are_told(told):
    assert told == {
        "ray_cxr_units_total{state=done}": 2,
        "ray_cxr_units_total{state=failed}": 1,
        "ray_cxr_units_total{state=retried}": 2,
        "ray_cxr_images_total": 8,
        "ray_cxr_bytes_total": 1500,
        "ray_cxr_loss{run=final}": 0.25,
    }


def test_the_dashboard_shows_all_of_them_and_nothing_that_is_not_told(told):
    asked = set(re.findall(r"ray_\w+", json.dumps([p["targets"] for p in json.loads(DASHBOARD.read_text())["panels"]])))
    assert asked - {"ray_io_cluster"} == {name.split("{")[0] for name in told} | RAYS_OWN
