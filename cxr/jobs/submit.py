"""Run a job on a Ray cluster and follow it: `cxr submit JOB ...`, as `cxr JOB ...` here.

RAY_ADDRESS names the cluster (http://head:8265), RAY_AUTH_TOKEN its token. Exit code: the job's own.
Ctrl-C stops the job. The same command again goes on with the job that runs, or with what an ended one has stored.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import logging
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tenacity

import cxr
from cxr import cli
from cxr.errors import BadInput, StoreError
from cxr.jobs import describe_jobs, import_job
from cxr.progress import note

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

CXR = Path(cxr.__file__).parent
PACKAGE_DATA = (  # what the package has beside code
    "embedded/assets", "prompts/phrases.toml", "publish/croissant_context.json", "report/templates",
    "weights/clip",
)  # fmt: skip
PLACES = ("out", "quarantine")  # arguments that say where a job writes to
MAGIC = (  # where, what, and whose
    (0, b"\x89PNG", "a picture"), (0, b"\xff\xd8\xff", "a picture"), (0, b"GIF8", "a picture"),
    (0, b"BM", "a picture"), (0, b"II*\0", "a picture"), (0, b"MM\0*", "a picture"), (8, b"WEBP", "a picture"),
    (4, b"jP  ", "a picture"), (128, b"DICM", "a DICOM file"), (0, b"\x08\0\x05\0", "a DICOM file"),
    (0, b"\x08\0\x08\0", "a DICOM file"), (0, b"PK\x03\x04", "an archive"), (0, b"\x1f\x8b", "an archive"),
    (0, b"\x93NUMPY", "an array"), (0, b"\x89HDF", "an array"),
)  # fmt: skip
SECONDS_TO_STOP = "30"  # to store what is in hand; Ray gives 3 by default
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_OF_OUTAGE = 60.0  # of the head, before it is given up


def main(words: list[str]) -> int:
    """Submits the job, or finds it running, and shows its log until it has ended."""
    known = ", ".join(sorted(job_names()))
    if not words:
        raise BadInput(f"give a job ({known}) and its arguments")
    if words[0] in cli.HELP:
        print(f"{__doc__}\nJobs: {known}. JOB --help tells a job's recipes and options.")
        return cli.DONE
    job, words = words[0], words[1:]
    args = parse_args(job, words)
    client = connect()
    name, runs = find_attempt(client, submission_id(job, args))
    note(f"{name} on {os.environ['RAY_ADDRESS']}{', which runs already' if runs else ''}")
    if not runs:
        submit_job(client, name, shlex.join(["python", "-m", "cxr", job, *words]), find_files(args))
    try:
        code = follow_job(client, name)
    except KeyboardInterrupt:
        stop_job(client, name)
        raise
    if code == cli.BAD_INPUT and any(str(value).startswith("s3://") for value in option_values(args).values()):
        note("no keys travel with a job: the cluster's machines use the AWS_... variables that they were started with")
    return code


def job_names() -> set[str]:
    return {*describe_jobs()} - {"submit"}


def parse_args(job: str, words: list[str]) -> Any:
    """The job's own `Args`, so that what does not fit is an error here and at once.

    Raises:
        BadInput: there is no such job, the words do not fit it, or it would write where one machine only sees it.
    """
    module = import_job(job, job_names())
    args = cli.parse(module.Args, words, module.main.__doc__ or "")
    if getattr(args, "out", "") is None:
        raise BadInput("--out: missing; give s3://bucket/prefix, or the path of a folder that all machines share")
    for name in PLACES:
        place = getattr(args, name, None)
        if place and "://" not in place and not Path(place).is_absolute():
            raise BadInput(
                f"--{name} {place}: would stay on a machine of the cluster; give s3://bucket/prefix, or the absolute "
                "path of a folder that all of them share"
            )
    return args


def submission_id(job: str, args: Any) -> str:
    """A name for the work: the same for the same arguments, in whatever order they were given.

    Not the recipe's digest: that holds the weights' and the plan's, which only a machine that has them can know.
    `workers` and the cost are left out, because they change nothing that is made.
    """
    asked = {name: value for name, value in option_values(args).items() if name not in ("workers", "cost")}
    return f"{job}-{hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:12]}"


def option_values(args: Any) -> dict[str, Any]:
    """The values of the job's options and of its recipe's, by name."""
    return {**vars(args), **dict(vars(args).get("config", ()))}


def find_files(args: Any) -> list[Path]:
    """Files here that the arguments name by a path from here; they travel with the code, so it names them there too.

    Raises:
        BadInput: one lies outside of this folder, or holds pictures: data stay where they are.
    """
    paths = [path for path in option_values(args).values() if isinstance(path, Path) and not path.is_absolute()]
    found = [path for path in paths if path.is_file()]
    for path in found:
        if ".." in path.parts:
            raise BadInput(f"{path}: the cluster sees only what lies below this folder; copy it here")
        if data := detect_data(path):
            raise BadInput(
                f"{path}: holds {data}, and no data are sent with a job; put it where the cluster can read it"
            )
    return found


def detect_data(path: Path) -> str:
    """What of a patient may be in the file, by its content; empty for text and tables without pictures."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[:4] == b"PAR1":
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = pq.read_schema(path).types
        return "pictures" if any(pa.types.is_nested(kind) or "binary" in str(kind) for kind in kinds) else ""
    return next((kind for at, magic, kind in MAGIC if start[at : at + len(magic)] == magic), "")


def connect() -> "JobSubmissionClient":
    """A client of the cluster that the environment names.

    Raises:
        BadInput: it names none, none answers there, or it refuses the token.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    if not address.startswith(("http://", "https://")):
        raise BadInput(f"RAY_ADDRESS {address!r}: give the cluster's http://HOST:8265, or run `cxr JOB` here")
    if os.environ.get("RAY_AUTH_TOKEN"):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    logging.disable(logging.WARNING)  # Ray's notes on packages and sockets
    import requests
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient()
    except AuthenticationError:
        raise BadInput(
            f"RAY_AUTH_TOKEN: {address} asks for one, or for another; set it to the cluster's token"
        ) from None
    except (ConnectionError, RuntimeError, requests.RequestException) as error:
        raise BadInput(f"RAY_ADDRESS {address}: no Ray cluster answers there ({type(error).__name__})") from None


def find_attempt(client: "JobSubmissionClient", name: str) -> tuple[str, bool]:
    """The id of the work's attempt that runs (True), or of a new one (False): Ray takes each id once."""
    statuses = {job.submission_id: job.status for job in client.list_jobs()}
    for number in itertools.count(1):
        tried = name if number == 1 else f"{name}-{number}"
        if tried not in statuses or not statuses[tried].is_terminal():
            return tried, tried in statuses
    raise AssertionError


def submit_job(client: "JobSubmissionClient", name: str, entrypoint: str, paths: list[Path]) -> None:
    """Sends the code and these files, and starts the job; if another submitter was first, it is theirs."""
    with pack_files(paths) as folder:
        environment = {"working_dir": folder, "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": SECONDS_TO_STOP}}
        try:
            client.submit_job(entrypoint=entrypoint, submission_id=name, runtime_env=environment)
        except (RuntimeError, ValueError, OSError) as error:  # a ValueError where what travels is over Ray's limit
            if "already exists" not in str(error):
                raise StoreError(f"{os.environ['RAY_ADDRESS']} does not take the job: {error}") from None


@contextlib.contextmanager
def pack_files(paths: list[Path]) -> Iterator[str]:
    """A folder with what travels, and nothing else: no data, no environment, no history."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(CXR, Path(folder, CXR.name), ignore=all_but_code)
        for path in paths:
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield folder


def all_but_code(folder: str, names: list[str]) -> list[str]:
    """What stays here: everything but code and what the package holds; so a folder of X-rays in between does."""
    here = Path(folder)
    if any(CXR / data in (here, *here.parents) for data in PACKAGE_DATA):
        return []
    return [name for name in names if not is_code(here / name)]


def is_code(path: Path) -> bool:
    """Whether it is code, a folder of code, or what the package has beside it."""
    return path.suffix == ".py" or path in [CXR / data for data in PACKAGE_DATA] or any(path.glob("*.py"))


def follow_job(client: "JobSubmissionClient", name: str) -> int:
    """Shows the log until the job has ended; returns its exit code."""
    log = Log(client, name)
    while True:
        with contextlib.suppress(RuntimeError, OSError):  # a connection that broke; the job goes on
            asyncio.run(log.follow())
        if (job := get_job_info(client, name)).status.is_terminal():
            log.show(client.get_job_logs(name))
            return exit_code(job)
        time.sleep(SECONDS_BETWEEN_LOOKS)


@dataclass
class Log:
    """A job's log, of which every part is shown once, however often the connection breaks."""

    client: "JobSubmissionClient"
    name: str
    shown: int = 0  # characters

    async def follow(self) -> None:
        """Shows the log from its beginning on, until it ends or the connection breaks."""
        received = 0
        async for text in self.client.tail_job_logs(self.name):
            self.show(text, received)
            received += len(text)

    def show(self, text: str, at: int = 0) -> None:
        """Prints of a part that begins `at` what is not shown yet."""
        print(text[max(0, self.shown - at) :], end="", flush=True)
        self.shown = max(self.shown, at + len(text))


def get_job_info(client: "JobSubmissionClient", name: str) -> "JobDetails":
    """How the job is.

    Raises:
        StoreError: the cluster has not answered for a minute.
    """
    import requests

    lasting = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(requests.RequestException),
        wait=tenacity.wait_fixed(SECONDS_BETWEEN_LOOKS),
        stop=tenacity.stop_after_delay(SECONDS_OF_OUTAGE),
        reraise=True,
    )
    try:
        return lasting(client.get_job_info, name)
    except requests.RequestException as error:
        address, why = os.environ["RAY_ADDRESS"], type(error).__name__
        raise StoreError(f"{address} answers no more ({why}); the same command looks for {name} again") from None


def stop_job(client: "JobSubmissionClient", name: str) -> None:
    """Stops the job as Ctrl-C does where it runs, and waits until it has stored what it had in hand."""
    note(f"stopping {name}")
    client.stop_job(name)
    while not get_job_info(client, name).status.is_terminal():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def exit_code(job: "JobDetails") -> int:
    """The driver's exit code; of a job that was stopped from elsewhere `cli.INTERRUPTED`."""
    if job.status == "STOPPED":
        return cli.INTERRUPTED
    if job.driver_exit_code is None:  # it never began, or its node died
        note(f"{job.submission_id}: {job.message}")
        return cli.BUG
    return job.driver_exit_code
