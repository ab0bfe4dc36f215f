"""In the CronJob: makes tonight's RayJob of the suspended one: `python start_nightly.py NAME`. Standard library only.

QUEUE in the environment names a Kueue LocalQueue for it. A night that has its job already is done.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def main() -> None:
    template, queue = call("GET", sys.argv[1]), os.environ.get("QUEUE", "")
    job = tonight(template, datetime.now(UTC).date().isoformat(), queue)
    try:
        call("POST", "", job)
    except urllib.error.HTTPError as refused:
        if refused.code != 409:
            raise
    print(job["metadata"]["name"])


def tonight(template: dict[str, Any], date: str, queue: str = "") -> dict[str, Any]:
    """The RayJob of a date (ISO 8601)."""
    labels = template["metadata"].get("labels", {}) | ({"kueue.x-k8s.io/queue-name": queue} if queue else {})
    spec = template["spec"] | {"suspend": False, "entrypoint": f"{template['spec']['entrypoint']} --date {date}"}
    name = f"{template['metadata']['name']}-{date}"
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name, "labels": labels}, "spec": spec}


def call(verb: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Kubernetes' answer about the RayJobs of this namespace."""
    host = f"{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    url = f"https://{host}/apis/ray.io/v1/namespaces/{(ACCOUNT / 'namespace').read_text()}/rayjobs/{name}".rstrip("/")
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body and json.dumps(body).encode(), headers, method=verb)
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=trusted, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
