"""A page as an artifact: sheet by sheet, then what is known of each picture, the page, and the record last."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from cxr.artifact import Artifact, Made, Record, listed_units, unit_key
from cxr.artifact.keys import COMMITS, PAGE_KEY, PLAN_KEY
from cxr.artifact.kinds import PAGE
from cxr.browse.gallery import Shown, describe_pictures, draw_rows, wanted_ids
from cxr.browse.given import Given, find_artifacts
from cxr.browse.judged import judge_pictures
from cxr.browse.page import render_page
from cxr.browse.privacy import Privacy, judge_privacy
from cxr.browse.sheets import BYTES_A_THUMBNAIL, PER_SHEET, store_sheet
from cxr.data.catalog import READ_THREADS
from cxr.store import Store, StoredObject

MOST = 200_000  # pictures of a set: with more, a page is higher than some browsers scroll


@dataclass(frozen=True)
class BrowseJob(Artifact):
    """All that is fixed before the first picture is read."""

    kind = PAGE
    scratch = (PLAN_KEY, COMMITS)

    given: list[Given]
    privacy: Privacy
    sets: list[Shown]

    @property
    def full(self) -> bool:
        """Whether the pictures themselves are in the page, not thumbnails alone."""
        return self.recipe["pictures"] == "full"

    @property
    def sheets(self) -> list[tuple[int, int]]:
        """(set, sheet) of each unit of work."""
        counts = (-(-len(shown.rows) // PER_SHEET) for shown in self.sets)
        return [(number, sheet) for number, count in enumerate(counts) for sheet in range(count)]

    @property
    def pictures(self) -> int:
        return sum(len(shown.rows) for shown in self.sets)

    @property
    def expected_bytes(self) -> int:
        """About what the page will take."""
        return sum(BYTES_A_THUMBNAIL * len(shown.rows) + (bytes_of(shown) if self.full else 0) for shown in self.sets)


def bytes_of(shown: Shown) -> int:
    """Of the pictures that are shown of a set, by its record."""
    images = shown.given.images
    assert images is not None
    return round(shown.given.record.made.bytes * len(shown.rows) / max(1, len(images.table)))


def prepare(store: Store, uris: Sequence[str], most: int, pictures: str) -> BrowseJob:
    """Raises `BadInput` unless finished artifacts are at these places, and the page's place is free."""
    given = find_artifacts(uris)
    recipe = {
        "artifacts": [
            {"name": one.name, "kind": one.kind, "recipe": one.record.recipe_digest, "made": one.record.made.digest}
            for one in given
        ],
        "most": most,
        "pictures": pictures,
    }
    judged = {one.name: judge_pictures(one, given) for one in given if one.images}
    privacy = judge_privacy(given, judged)
    sets = [
        Shown(one, draw_rows(one, most, wanted_ids(one, judged)), privacy.stays, judged[one.name])
        for one in given
        if one.images
    ]
    job = BrowseJob(store, recipe, given, privacy, sets)
    job.refuse_other()
    return job


def write(job: BrowseJob, advance: Callable[[int], object]) -> Record:
    """Stores the sheets that are not stored yet, then the page; returns the record.

    Raises:
        BadInput: as `store_sheet`.
    """
    job.begin(pa.table({"artifact": [one.name for one in job.given]}))
    done = set(listed_units(job.store))

    def store_unit(unit: int) -> None:
        number, sheet = job.sheets[unit]
        stored = store_sheet(job.store, job.sets[number], number, sheet, job.full, advance)
        commit = {"objects": [[one.key, one.size, one.sha256] for one in stored.objects], "seeds": stored.seeds}
        job.store.put(unit_key(COMMITS, unit), json.dumps(commit).encode())

    with ThreadPoolExecutor(READ_THREADS) as threads:
        list(threads.map(store_unit, (unit for unit in range(len(job.sheets)) if unit not in done)))
    return complete(job)


def complete(job: BrowseJob) -> Record:
    objects: list[StoredObject] = []
    seeds: list[list[str | None]] = [[] for _ in job.sets]
    for unit, (number, _) in enumerate(job.sheets):
        commit = json.loads(job.store.get(unit_key(COMMITS, unit)))
        objects += [StoredObject(*one) for one in commit["objects"]]
        seeds[number] += commit["seeds"]
    for number, data in enumerate(describe_sets(job, seeds)):
        objects.append(job.store.put(data_key(number), data))
    objects.append(job.store.put(PAGE_KEY, render_page(job.store, job.given, job.sets, job.privacy, job.full).encode()))
    return job.new_record(
        Made.of(objects), objects, {"pictures": job.pictures, "stays with its owner": job.privacy.stays},
        inputs={one.name: one.record.recipe_digest for one in job.given},
    )  # fmt: skip


def data_key(number: int) -> str:
    return f"data/{number}.js"


def describe_sets(job: BrowseJob, seeds: Sequence[Sequence[str | None]]) -> list[bytes]:
    """A script for each set: a page that is opened from a file may load scripts, and nothing else."""
    at = {shown.given.images.digest: number for number, shown in enumerate(job.sets) if shown.given.images}
    rows = [{image_id: row for row, image_id in enumerate(shown.rows["image_id"].to_pylist())} for shown in job.sets]
    found = []
    for number, shown in enumerate(job.sets):
        real = at.get(shown.judged.real)
        columns = describe_pictures(shown, seeds[number], None if real is None else rows[real])
        further = json.dumps({"real": real, "by": shown.judged.by})
        found.append(f"cxr.load({number},{columns},{further});\n".encode())
    return found
