"""A cluster that goes away while a job runs. Ray waits a minute for its head, then ends the process without a word."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_AWAY = 40.0  # Ray gives up after 60: RAY_gcs_rpc_server_reconnect_timeout_s
SECONDS_BETWEEN = 4.0


@contextmanager
def watch_head(
    address: str, code: int = 2, away: float = SECONDS_AWAY, between: float = SECONDS_BETWEEN
) -> Iterator[None]:
    """Ends this process with one line and an exit code once nobody has listened at the head's address for `away` s.

    Args:
        address: HOST:PORT of the head.
        away, between: seconds until the cluster is given up, and between two checks.
    """
    over = threading.Event()

    def watch() -> None:
        answered = time.monotonic()
        while not over.wait(between):
            if is_listening(address):
                answered = time.monotonic()
            elif time.monotonic() - answered > away:
                print(
                    f"the Ray cluster at {address} has not answered for {away:.0f} s and is given up; what is stored "
                    "stays, and the same command goes on once the cluster is back",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(code)  # Ray's own threads hold up any other way out

    threading.Thread(target=watch, daemon=True, name="head watch").start()
    try:
        yield
    finally:
        over.set()


def is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), 3):
            return True
    except (OSError, OverflowError):
        return False
