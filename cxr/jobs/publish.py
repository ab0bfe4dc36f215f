"""Hand a synthetic set on: `cxr publish SET --to DIR --as parquet --audit URI`.

Exit code 0: all there. 2: bad input, or the audit did not pass: nothing is written.
"""

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from cxr import cli
from cxr.errors import BadInput
from cxr.progress import note, progress
from cxr.publish.hub import PREFIX, HubRepo, parse_repo, staging_folder
from cxr.store import open_store

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.publish.job import PublishJob

LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")  # an SPDX name, or the hub's


@dataclass(frozen=True)
class Args:
    uri: Positional[str]
    """The set to publish, as `cxr generate` or `--quarantine` wrote it: a folder or s3://bucket/prefix."""
    to: str
    """Where it goes: a folder, s3://bucket/prefix, or hub:owner/name, a dataset of the Hugging Face hub."""
    form: Annotated[Literal["parquet", "imagefolder", "dicom", "webdataset"], arg(name="as")] = "parquet"
    """Parquet files for `datasets`, PNG files in folders, DICOM files, or tar files for WebDataset."""
    audit: str | None = None
    """The audit of just this set, as `cxr audit` wrote it. A set with a leak found is not published."""
    unaudited: bool = False
    """Publish without an audit; title and card say so."""
    evaluation: str | None = None
    """An evaluation of the set: its metrics go on the card, with intervals."""
    licence: str | None = None
    """The licence of what is published, as cc-by-4.0; without it the card says that the model's holds."""


def main(args: Args) -> int:
    """Publish a synthetic set, if its audit passed. What is written names no patient, shows no real picture, and holds
    no path of this machine."""
    check_options(args)
    repo = parse_repo(args.to) if args.to.startswith(PREFIX) else None
    if repo is None:
        open_store(args.to).check()
    job = prepare(args)
    if repo is not None:
        return send(job, HubRepo(repo, "dataset", job.digest))
    if record := job.take_finished():
        print(f"already there: {record.made.count} pictures in {job.store.uri}")
        return cli.DONE
    print(f"{describe(pack(job), job)}: {job.store.uri}")
    return cli.DONE


def send(job: "PublishJob", repo: HubRepo) -> int:
    """Packs in a folder of this machine, uploads, and removes the folder."""
    if repo.is_finished():
        print(f"already there: {len(job.rows)} pictures in {repo.uri}")
        return cli.DONE
    record = job.take_finished() or pack(job)
    folder = staging_folder(job.digest)
    files = sum(path.is_file() for path in folder.rglob("*"))
    with progress("upload", files, "files") as advance:
        repo.upload(folder, advance)
    shutil.rmtree(folder)
    print(f"{describe(record, job)}: {repo.uri}")
    print("a new repository is private; look at it, then make it public in its settings on the hub")
    return cli.DONE


def pack(job: "PublishJob") -> "Record":
    from cxr.publish.job import publish_set

    with progress("publish", len(job.rows), "pictures") as advance:
        return job.make(lambda: publish_set(job, advance))


def describe(record: "Record", job: "PublishJob") -> str:
    return f"{record.made.count} pictures as {job.form}, {record.made.bytes / 1e6:.1f} MB"


def check_options(args: Args) -> None:
    if args.audit is None and not args.unaudited:
        raise BadInput(
            "--audit: missing; give the --out of jobs/audit.py for this set, or --unaudited, and the card says so"
        )
    if args.audit is not None and args.unaudited:
        raise BadInput("--unaudited is of a set without an audit; leave it or --audit out")
    if args.licence is not None and not LICENCE.fullmatch(args.licence):
        raise BadInput(f"--licence {args.licence[:60]!r}: give a name such as cc-by-4.0")


def prepare(args: Args) -> "PublishJob":
    """All that is checked before anything is written."""
    from cxr.artifact import read_record, recipe_digest
    from cxr.artifact.quality import read_quality
    from cxr.data.catalog import read_set
    from cxr.publish.job import PublishJob, publish_recipe
    from cxr.publish.public import check_audit, check_evaluation, check_generated, public_rows

    found = read_set(open_store(args.uri))
    check_generated(found)
    audit = read_record(open_store(args.audit)) if args.audit else None
    told = check_audit(args.audit, audit, found) if args.audit else None
    evaluation, quality = None, None
    if args.evaluation:
        measured = open_store(args.evaluation)
        evaluation = read_record(measured)
        check_evaluation(args.evaluation, evaluation, found)
        quality = read_quality(measured)
    if args.form == "dicom":
        from cxr.data.sources.dicom_pixels import require_pydicom

        require_pydicom()
    rows, left_out = public_rows(found)
    recipe = publish_recipe(found, args.form, audit, evaluation, args.licence)
    place = str(staging_folder(recipe_digest(recipe))) if args.to.startswith(PREFIX) else args.to
    job = PublishJob(open_store(place), recipe, found, rows, args.form, told, quality, args.licence)
    job.refuse_other()
    if left_out:
        note(f"{left_out} prompts name what looks like a path; they are left out")
    return job
