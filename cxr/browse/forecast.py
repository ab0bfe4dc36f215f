"""What a page would show, and how long it takes: some thumbnails of each set are made in a folder that goes again."""

import tempfile
from dataclasses import replace

from cxr.browse.job import BrowseJob
from cxr.browse.page import count_artifacts
from cxr.browse.sheets import store_sheet
from cxr.report.forecast import Forecast, about, timed
from cxr.store import open_store

PROBED = 32  # pictures of a set


def forecast(job: BrowseJob) -> Forecast:
    """Raises `BadInput` as `store_sheet`."""
    seconds, takes = 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for shown in job.sets:
            some = replace(shown, rows=shown.rows.slice(0, PROBED))
            sheet = timed(store_sheet, open_store(folder), some, 0, 0, job.full, lambda count: None)
            share = len(shown.rows) / max(1, len(some.rows))
            seconds += share * sheet.seconds
            takes += share * sum(stored.size for stored in sheet.result.objects)
    return Forecast(
        count_artifacts(job.given),
        f"one page with {job.pictures:,} pictures ({job.recipe['pictures']})",
        f"room for about {takes / 1e6:.1f} MB; no GPU",
        f"{about(seconds)} at most, as {PROBED} pictures of each set took",
        seconds,
    )
