"""Claim: `--layout shards` needs at most N/1000 + 5 PUTs for N images, counted at the server.

A real S3 server (tests/ceph.sh) and the job's own code, but for a constant picture in place of the sampler; the PUTs
are those in the gateway's access log. Whether an endpoint honours conditional writes costs one more PUT, once for each
machine and bucket: that has been learned before the count starts.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tyro
from _dry import SIDE, run_some
from _side_by_side import verdict

from cxr import recipes
from cxr.artifact import verify
from cxr.generate import job
from cxr.generate.plan import template_rows
from cxr.store import open_store

TESTS = Path(__file__).parents[1] / "tests"
sys.path.append(str(TESTS / "integration"))
from conftest import S3Server  # noqa: E402 - the tests' reader of the access log

PER_FINDING = 300  # of ten findings


def main(model: str = "tiny") -> None:
    config = recipes.replace_fields(recipes.tiny(), model=model, per_finding=PER_FINDING, layout="shards", size=SIDE)
    with gateway() as server, tempfile.TemporaryDirectory() as folder:
        bucket = server.make_bucket()
        open_store(f"s3://{bucket}/earlier").put_if_absent("probe", b"")
        before = len(server.requests(bucket))
        ready = job.prepare(open_store(f"s3://{bucket}/set"), config, template_rows(config), Path(folder), print)
        units = run_some(ready, ready.plan.units)
        job.complete(ready, "dry", {})
        puts = server.requests(bucket)[before:]
        read = verify(ready.store)
    most = ready.plan.images // 1000 + 5
    for path, status in puts:
        print(f"  PUT {path} {status}")
    print(f"{ready.plan.images} images in {units} shards; read back afterwards: {read}")
    verdict(len(puts) <= most, f"{len(puts)} PUTs for {ready.plan.images} images (at most {most})")


@contextmanager
def gateway() -> Iterator[S3Server]:
    """A server of our own on a free port, with this process's environment set to use it."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
        free.close()
        server = Path(folder, "server")
        try:
            said = subprocess.run(
                [TESTS / "ceph.sh", "up", server, port], check=True, text=True, stdout=subprocess.PIPE
            )
            env = dict(re.findall(r"export (\w+)=(\S+)", said.stdout))
            os.environ.update(env, XDG_CACHE_HOME=f"{folder}/cache")
            yield S3Server(server, env)
        finally:
            subprocess.run([TESTS / "ceph.sh", "down", server], check=True)


if __name__ == "__main__":
    tyro.cli(main)
