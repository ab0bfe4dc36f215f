"""Hand a synthetic set or a model on: `cxr publish SET --to DIR --as parquet --audit URI`.

Exit code 0: all there. 2: bad input, or the audit did not pass: nothing is written.
"""

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from cxr import cli
from cxr.artifact.kinds import FINE_TUNED_MODEL, PUBLISHED_IMAGES
from cxr.errors import BadInput
from cxr.progress import note, progress
from cxr.publish.hub import PREFIX, HubRepo, parse_repo, staging_folder
from cxr.store import Store, open_store

if TYPE_CHECKING:
    from cxr.artifact import Record
    from cxr.publish.job import PublishJob
    from cxr.publish.model import PublishModelJob

LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")  # an SPDX name, or the hub's


@dataclass(frozen=True)
class Args:
    uri: Positional[str]
    """What to publish, a folder or s3://bucket/prefix: a set as `cxr generate` or `--quarantine` wrote it, or a model
    as `cxr finetune` did."""
    to: str
    """Where it goes: a folder, s3://bucket/prefix, or hub:owner/name of the Hugging Face hub."""
    form: Annotated[Literal["parquet", "imagefolder", "dicom", "webdataset"], arg(name="as")] = "parquet"
    """Of a set: Parquet files for `datasets`, PNG files in folders, DICOM files, or tar files for WebDataset."""
    audit: str | None = None
    """The audit of just this set, or that attacked just this model. What has a leak found is not published."""
    unaudited: bool = False
    """Publish without an audit; title and card say so."""
    evaluation: str | None = None
    """An evaluation of the set: its metrics go on the card, with intervals."""
    licence: str | None = None
    """The licence of what is published, as cc-by-4.0; without it the card says that the model's holds."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Publish a synthetic set or a fine-tuned model, if its audit passed.

    What is written names no patient, shows no real picture, and holds no path of this machine.
    """
    check_options(args)
    repo = parse_repo(args.to) if args.to.startswith(PREFIX) else None
    if repo is None:
        open_store(args.to).check()
    job = prepare(args)
    if repo is None and (record := job.take_finished()):
        print(f"already there: {describe(record)} in {job.store.uri}")
        return cli.DONE
    if args.dry_run:
        return show_forecast(job, args.to)
    if repo is not None:
        return send(job, HubRepo(repo, "dataset" if is_set(job) else "model", job.digest))
    print(f"{describe(pack(job))}: {job.store.uri}")
    return cli.DONE


def show_forecast(job: "PublishJob | PublishModelJob", place: str) -> int:
    from cxr.publish.forecast import forecast_model, forecast_set
    from cxr.publish.job import PublishJob

    print((forecast_set(job) if isinstance(job, PublishJob) else forecast_model(job)).text(place))
    return cli.DONE


def send(job: "PublishJob | PublishModelJob", repo: HubRepo) -> int:
    """Packs in a folder of this machine, uploads, and removes the folder."""
    if repo.is_finished():
        print(f"already there: {repo.uri}")
        return cli.DONE
    record = job.take_finished() or pack(job)
    folder = staging_folder(job.digest)
    files = sum(path.is_file() for path in folder.rglob("*"))
    with progress("upload", files, "files") as advance:
        repo.upload(folder, advance)
    shutil.rmtree(folder)
    print(f"{describe(record)}: {repo.uri}")
    print("a new repository is private; look at it, then make it public in its settings on the hub")
    return cli.DONE


def is_set(job: "PublishJob | PublishModelJob") -> bool:
    return job.kind == PUBLISHED_IMAGES


def pack(job: "PublishJob | PublishModelJob") -> "Record":
    """Writes it where the job's place is."""
    from cxr.publish.job import PublishJob, publish_set
    from cxr.publish.model import publish_model

    if isinstance(job, PublishJob):
        images = job
        with progress("publish", len(images.rows), "pictures") as advance:
            return images.make(lambda: publish_set(images, advance))
    model = job
    with progress("publish", len(model.files), "files") as advance:
        return model.make(lambda: publish_model(model, advance))


def describe(record: "Record") -> str:
    what = f"pictures as {record.recipe['as']}" if record.kind == PUBLISHED_IMAGES else "files of a model"
    return f"{record.made.count} {what}, {record.made.bytes / 1e6:.1f} MB"


def check_options(args: Args) -> None:
    if args.audit is None and not args.unaudited:
        raise BadInput(
            "--audit: missing; give the --out of jobs/audit.py for this set, or --unaudited, and the card says so"
        )
    if args.audit is not None and args.unaudited:
        raise BadInput("--unaudited is of a set without an audit; leave it or --audit out")
    if args.licence is not None and not LICENCE.fullmatch(args.licence):
        raise BadInput(f"--licence {args.licence[:60]!r}: give a name such as cc-by-4.0")


def prepare(args: Args) -> "PublishJob | PublishModelJob":
    """All that is checked before anything is written."""
    from cxr.artifact import read_record

    source = open_store(args.uri)
    source.check(write=False)
    record = read_record(source)
    job = prepare_model(args, source, record) if record and record.kind == FINE_TUNED_MODEL else prepare_set(args)
    job.refuse_other()
    return job


def place_of(args: Args, recipe: dict[str, Any]) -> Store:
    """Where it is written: for the hub, a folder of this machine first."""
    from cxr.artifact import recipe_digest

    return open_store(str(staging_folder(recipe_digest(recipe))) if args.to.startswith(PREFIX) else args.to)


def prepare_model(args: Args, source: Store, record: "Record") -> "PublishModelJob":
    from cxr.artifact import read_record
    from cxr.publish.model import PublishModelJob, check_model_audit, find_files, loaded_digest

    if args.evaluation:
        raise BadInput("--evaluation is of a set; leave it out")
    files = find_files(args.uri, record)
    digest = loaded_digest(record, files)
    audit = read_record(open_store(args.audit)) if args.audit else None
    passed = check_model_audit(args.audit, audit, digest) if args.audit else None
    recipe = {"model": digest, "audit": audit and audit.recipe_digest, "licence": args.licence}
    return PublishModelJob(place_of(args, recipe), recipe, source, record, files, passed, args.licence)


def prepare_set(args: Args) -> "PublishJob":
    from cxr.artifact import read_record
    from cxr.artifact.quality import read_quality
    from cxr.data.catalog import read_set
    from cxr.publish.job import PublishJob, publish_recipe
    from cxr.publish.public import check_audit, check_evaluation, check_generated, public_rows

    found = read_set(open_store(args.uri))
    check_generated(found)
    audit = read_record(open_store(args.audit)) if args.audit else None
    passed = check_audit(args.audit, audit, found) if args.audit else None
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
    if left_out:
        note(f"{left_out} prompts name what looks like a path; they are left out")
    return PublishJob(place_of(args, recipe), recipe, found, rows, args.form, passed, quality, args.licence)
