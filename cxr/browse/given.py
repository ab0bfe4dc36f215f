"""From places to the finished artifacts there, each with a name that no other has."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from packaging.version import InvalidVersion, Version

from cxr.artifact import Record, library_versions, read_record
from cxr.artifact.keys import CATALOG_KEY, PLAN_KEY, RECORD_KEY
from cxr.artifact.kinds import (
    AUDIT,
    COMPARISON,
    EVALUATION,
    FINE_TUNED_MODEL,
    GAN,
    GENERATED_IMAGES,
    IMAGES_WITHOUT_COPIES,
    INGESTED_IMAGES,
    NIGHT,
    PAGE,
    PUBLISHED_IMAGES,
    PUBLISHED_MODEL,
    READER_SCORE,
    READER_STUDY,
    STUDY,
)
from cxr.data.catalog import CatalogSet, read_set
from cxr.errors import BadInput
from cxr.progress import note
from cxr.report.words import call_apart
from cxr.store import Store, open_store, sha256

ORDER = (
    INGESTED_IMAGES, FINE_TUNED_MODEL, GENERATED_IMAGES, GAN, IMAGES_WITHOUT_COPIES, EVALUATION, AUDIT, STUDY,
    COMPARISON, READER_STUDY, READER_SCORE, NIGHT, PUBLISHED_IMAGES, PUBLISHED_MODEL,
)  # fmt: skip
MADE_BY_MODELS = (GENERATED_IMAGES, IMAGES_WITHOUT_COPIES, PUBLISHED_IMAGES, GAN)
PACKED = ("dicom", "webdataset")  # forms of published sets whose pictures are not read back here


@dataclass(frozen=True)
class Given:
    """A finished artifact."""

    name: str
    store: Store
    record: Record
    images: CatalogSet | None  # None: it is no set, or one whose pictures are not read back

    @property
    def kind(self) -> str:
        return self.record.kind

    @property
    def is_synthetic(self) -> bool:
        return self.images is not None and self.kind in MADE_BY_MODELS


def find_artifacts(uris: Sequence[str]) -> list[Given]:
    """The artifacts at these places and below them, in the order in which one is made from another.

    Raises:
        BadInput: a place holds none, an unfinished one, or one of a newer version.
    """
    stores: dict[str, Store] = {}
    for uri in uris:
        for store in list_places(open_store(uri)):
            stores[store.uri] = store
    found = [read_artifact(store) for store in stores.values()]
    named = [replace(one, name=name) for one, name in zip(found, call_apart([*stores]), strict=True)]
    return sorted(named, key=lambda one: (rank(one.kind), one.name))


def rank(kind: str) -> int:
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def list_places(store: Store) -> Iterator[Store]:
    """The place itself, where it holds a finished artifact; else the places below it that do, pages left out."""
    store.check(write=False)
    if store.exists(RECORD_KEY):
        yield store
        return
    if store.exists(PLAN_KEY):
        raise BadInput(f"{store.uri}: is unfinished; finish it with the same command, then browse it")
    keys = [key for key, _ in store.list() if key.endswith((f"/{RECORD_KEY}", f"/{PLAN_KEY}"))]
    below = sorted(key.removesuffix(f"/{RECORD_KEY}") for key in keys if key.endswith(RECORD_KEY))
    outermost = [one for one in below if not any(one.startswith(f"{other}/") for other in below)]
    places = [open_store(f"{store.uri}/{one}") for one in outermost]
    wanted = [place for place in places if json_of(place).get("kind") != PAGE]
    if not wanted:
        raise BadInput(f"{store.uri}: holds no finished artifact; give the --out of a job, or a folder of such")
    begun = {key.removesuffix(f"/{PLAN_KEY}") for key in keys if key.endswith(PLAN_KEY)}
    if unfinished := sorted(one for one in begun if not any(f"{one}/".startswith(f"{other}/") for other in outermost)):
        note(f"{', '.join(unfinished)}: unfinished, left out")
    yield from wanted


def read_artifact(store: Store) -> Given:
    """Raises `BadInput` unless it is one that this version reads."""
    refuse_newer(store)
    record = read_record(store)
    if record is None:
        raise BadInput(f"{store.uri}: holds no finished artifact; give the --out of a job")
    if record.kind == PAGE:
        raise BadInput(f"{store.uri}: is a page of jobs/browse.py; open its index.html")
    has_pictures = CATALOG_KEY in {stored.key for stored in record.objects} and record.recipe.get("as") not in PACKED
    return Given(store.uri, store, record, read_set(store) if has_pictures else None)


def json_of(store: Store) -> dict:
    """The record as it stands there; empty where it is no JSON object."""
    try:
        found = json.loads(store.get(RECORD_KEY))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def refuse_newer(store: Store) -> None:
    """`BadInput` where a newer version of this software made it."""
    versions = json_of(store).get("versions")
    theirs, ours = versions.get("cxr") if isinstance(versions, dict) else None, library_versions().get("cxr")
    try:
        newer = theirs is not None and ours is not None and Version(str(theirs)) > Version(ours)
    except InvalidVersion:
        newer = False
    if newer:
        raise BadInput(f"{store.uri}: was made by cxr {theirs}, and this is {ours}; update cxr")


def read_object(given: Given, key: str) -> bytes | None:
    """An object of the artifact as it was written; None where its record names none.

    Raises:
        BadInput: it is missing or damaged.
    """
    wanted = {stored.key: stored.sha256 for stored in given.record.objects}
    if key not in wanted:
        return None
    try:
        data = given.store.get(key)
        if sha256(data) == wanted[key]:
            return data
    except KeyError:
        pass
    raise BadInput(f"{given.store.uri}/{key}: is missing or not as it was written; restore it")
