"""What ingesting would make, and how long it would take: the first pictures are read, and nothing is stored."""

import pickle
import time
from collections import Counter

import pyarrow.parquet as pq

from cxr.data.images import RejectedImage, encode_png, fit_square, read_gray
from cxr.ingest.job import IngestJob
from cxr.report.forecast import UNKNOWN_TIME, Forecast, about, count_words

PROBED = 16  # pictures


def forecast(job: IngestJob) -> Forecast:
    config, plan = job.config, pq.read_table(job.plan, columns=["present", "patient_id"])
    shown = Counter(name for present in plan["present"].to_pylist() for name in present)
    seconds, size, probed = probe(job)
    patients, nameless = len(plan["patient_id"].unique().drop_null()), plan["patient_id"].null_count
    whose = f", of {patients:,} patients" if patients else ""
    whose += f"; {nameless:,} name no patient, and are split by picture" if nameless else ""
    parts = f"{config.train:.0%} train, {config.validation:.0%} validation, {config.test:.0%} test"
    split = "as its publisher split it" if config.split == "official" else f"split into {parts}"
    return Forecast(
        f"{job.images:,} pictures ({count_words(shown)}){whose}",
        f"as many PNG files of {config.size} x {config.size} px, {split}, a catalog and a report on the split",
        f"about {size * job.images / 1e6:.1f} MB; no GPU" if probed else "no GPU",
        f"{about(seconds * job.images)} of one CPU, as {probed} of its pictures took" if probed else UNKNOWN_TIME,
        seconds * job.images if probed else None,
    )


def probe(job: IngestJob) -> tuple[float, float, int]:
    """Seconds and bytes of a picture, and of how many they are the mean: the first ones that can be used."""
    rows = pickle.loads(job.read_rows(0))[:PROBED]
    start, sizes = time.perf_counter(), []
    for row in rows:
        try:
            pixels = fit_square(read_gray(row.load()), job.config.size, job.config.aspect)
        except RejectedImage:
            continue
        sizes.append(len(encode_png(pixels)))
    seconds = time.perf_counter() - start
    return (seconds / len(rows), sum(sizes) / len(sizes), len(sizes)) if sizes else (0.0, 0.0, 0)
