"""Read an artifact back, every object, against the size and sha256 that its record and catalog name."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from cxr.artifact.keys import CANDIDATES_KEY, CATALOG_KEY, RECORD_KEY
from cxr.artifact.record import read_record
from cxr.errors import BadInput, StoreError
from cxr.store.base import Store, StoredObject

_THREADS = 16


@dataclass
class Verification:
    """What was read (objects, bytes) and the keys that are missing, extra, or there with another content."""

    checked: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.extra or self.damaged)


@dataclass(frozen=True)
class _Named:
    """An object as it should be; the catalog does not name sizes."""

    key: str
    sha256: str
    size: int | None = None


_Reading = deque[tuple[_Named, Future[StoredObject | None]]]


def verify(store: Store, progress: Callable[[Verification], None] = lambda so_far: None) -> Verification:
    """Read back everything that the record names; `progress` is called after every object.

    When a catalog itself is missing or damaged, what it would name is unknown: its images are neither checked
    nor counted as extra.

    Raises:
        BadInput: there is no record (the artifact is unfinished or none), or it is damaged.
    """
    store.check(write=False)
    record = read_record(store)
    if record is None:
        raise BadInput(
            f"{store.uri}: no {RECORD_KEY}, so unfinished or not an artifact; finish it with the same command"
        )
    found = Verification()
    recorded = {o.key for o in record.objects} | {RECORD_KEY}
    _read_back(store, (_Named(o.key, o.sha256, o.size) for o in record.objects), found, progress)
    catalogs = {CATALOG_KEY, CANDIDATES_KEY} & recorded
    if catalogs & {*found.missing, *found.damaged}:
        return found
    for catalog in sorted(catalogs):
        _read_back(store, _images(store, catalog, recorded), found, progress)
    found.extra.extend(key for key, _ in store.list() if key not in recorded)
    for keys in (found.missing, found.extra, found.damaged):
        keys.sort()
    return found


def _read_back(
    store: Store, wanted: Iterable[_Named], found: Verification, progress: Callable[[Verification], None]
) -> None:
    """Judge each object in turn while threads read ahead; only a window of them is in memory."""
    reading: _Reading = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for want in wanted:
            reading.append((want, pool.submit(_look, store, want.key)))
            if len(reading) > 4 * _THREADS:
                _judge(*_next(reading), found, progress)
        while reading:
            _judge(*_next(reading), found, progress)


def _next(reading: _Reading) -> tuple[_Named, StoredObject | None]:
    want, future = reading.popleft()
    return want, future.result()


def _look(store: Store, key: str) -> StoredObject | None:
    try:
        return store.read_back(key)
    except KeyError:
        return None


def _judge(
    want: _Named, got: StoredObject | None, found: Verification, progress: Callable[[Verification], None]
) -> None:
    found.checked += 1
    if got is None:
        found.missing.append(want.key)
    else:
        found.bytes += got.size
        if got.sha256 != want.sha256 or want.size not in (None, got.size):
            found.damaged.append(want.key)
    progress(found)


def _images(store: Store, catalog: str, known: set[str]) -> Iterator[_Named]:
    """A catalog's rows as objects, each key once and only if not `known` yet; adds them to `known`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with store.open(catalog) as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=["key", "sha256"]):
                for key, digest in zip(batch["key"].to_pylist(), batch["sha256"].to_pylist(), strict=True):
                    if key not in known:
                        known.add(key)
                        yield _Named(key, digest)
    except (pa.ArrowInvalid, KeyError):
        raise BadInput(f"{store.uri}: {catalog} is not a catalog with columns key and sha256") from None
    except OSError as error:
        raise StoreError(f"{store.uri}: {catalog} cannot be read ({type(error).__name__})") from None
