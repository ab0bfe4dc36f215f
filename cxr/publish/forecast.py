"""What would be handed on, and how long packing takes: some of the pictures are packed, and nothing is stored."""

from cxr.publish.formats import FORMATS, Unit
from cxr.publish.job import PublishJob, read_public
from cxr.publish.model import PublishModelJob, read_weights
from cxr.report.forecast import Forecast, about, count_words, timed

PROBED = 50  # pictures
SENT = "and the time of sending it, where it does not stay on this machine"


def forecast_set(job: PublishJob) -> Forecast:
    """Raises `BadInput` where one of the first pictures is damaged, or bears no mark of generated media."""
    rows = job.rows.slice(0, PROBED)
    read = timed(read_public, job.source.store, rows)
    unit = Unit(0, job.units, rows.to_pylist(), read.result, job.source.vocabulary, job.source.digest)
    packed = timed(FORMATS[job.form], unit)
    share = len(job.rows) / len(rows)
    seconds = share * (read.seconds + packed.seconds)
    takes = share * sum(map(len, packed.result.objects.values()))
    counts = {str(one["values"]): one["counts"] for one in job.rows["finding"].value_counts().to_pylist()}
    return Forecast(
        f"{len(job.rows):,} synthetic pictures ({count_words(counts)}), {'audited' if job.audit else 'unaudited'}",
        f"the pictures as {job.form}, a catalog, a card and Croissant",
        f"room for about {takes / 1e6:.1f} MB; no GPU",
        f"{about(seconds)}, as {len(rows)} pictures took, {SENT}",
        seconds,
    )


def forecast_model(job: PublishModelJob) -> Forecast:
    """Raises `BadInput` where the smallest file is missing or damaged, or names a place of a machine."""
    smallest, total = min(job.files, key=lambda file: file.size), sum(file.size for file in job.files)
    read = timed(read_weights, job.source, smallest)
    seconds = read.seconds * total / max(1, smallest.size)
    return Forecast(
        f"{len(job.files)} files of {'a LoRA' if job.is_lora else 'a whole model'}, "
        f"{'audited' if job.audit else 'unaudited'}",
        "the files as they are, and a card",
        f"room for {total / 1e6:.1f} MB; no GPU",
        f"{about(seconds)}, as the smallest file took, {SENT}",
        seconds,
    )
