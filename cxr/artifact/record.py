"""An artifact's record: its recipe, its inputs, what was made. Written last, so its presence means complete."""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from cxr.errors import BadInput, StoreError
from cxr.store.base import Store, StoredObject, check_key, digest_of
from cxr.store.files import parquet

if TYPE_CHECKING:
    import pyarrow as pa

RECORD_KEY = "record.json"
CATALOG_KEY = "catalog.parquet"  # of a set of images
PLAN_KEY = "plan.parquet"  # the first object of an artifact that is still in the making
_LIBRARIES = ("cxr", "torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "ray", "numpy", "scipy",
              "opencv-python-headless", "pyarrow", "boto3", "safetensors")  # fmt: skip


class Item(Protocol):
    """Anything that says what one object holds, as `StoredObject` does."""

    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...


class Made(BaseModel):
    """What was made: number of items, their bytes, `digest_of` their (key, sha256) pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    bytes: int
    digest: str

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Made":
        pairs = ((item.key, item.sha256) for item in items)
        return cls(count=len(items), bytes=sum(item.size for item in items), digest=digest_of(pairs))


class Record(BaseModel):
    """An artifact's `record.json`.

    `inputs` maps a name to the digest of what was read. `objects` names every object but `record.json` itself and
    the images that `catalog.parquet` lists. `timings` are in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    recipe: dict[str, Any]
    recipe_digest: str
    inputs: dict[str, str] = {}
    made: Made
    objects: list[StoredObject]
    seeds: dict[str, int] = {}
    versions: dict[str, str] = {}
    device: str = ""
    timings: dict[str, float] = {}
    metrics: dict[str, Any] = {}

    @model_validator(mode="after")
    def _digest_fits(self) -> "Record":
        if self.recipe_digest != recipe_digest(self.recipe):
            raise ValueError("recipe_digest is not that of recipe")
        return self

    @field_validator("metrics")
    @classmethod
    def _names_fit(cls, metrics: dict[str, Any]) -> dict[str, Any]:
        """What a study and a card rest on is lists of names, or not known."""
        for name in ("patients_seen", "sources"):
            held = metrics.get(name)
            if held is not None and not (isinstance(held, list) and all(isinstance(one, str) for one in held)):
                raise ValueError(f"metrics: {name} is no list of names")
        return metrics

    @field_validator("objects")
    @classmethod
    def _keys_fit(cls, objects: list[StoredObject]) -> list[StoredObject]:
        for stored in objects:
            try:
                check_key(stored.key)
            except BadInput as error:
                raise ValueError(str(error)) from None
        return objects


def recipe_digest(recipe: dict[str, Any]) -> str:
    """The sha256 (hex) of the recipe's canonical JSON. The caller leaves the location out of the recipe."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Python's version and that of each installed library that a result depends on; imports none of them."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def refuse_other(store: Store, kind: str, recipe: dict[str, Any]) -> None:
    """`BadInput` unless the place is empty or holds this recipe's artifact, finished or begun. Writes nothing."""
    record = read_record(store)
    if record is not None:
        _refuse_if_other(store, kind, recipe, record.kind, record.recipe)
    elif store.exists(PLAN_KEY):
        _refuse_if_other(store, kind, recipe, kind, _begun_recipe(store))
    elif next(iter(store.list()), None) is not None:
        raise BadInput(f"{store.uri}: not empty and not one of ours; choose another --out")


def read_record(store: Store) -> Record | None:
    """The record of the finished artifact, or None if there is none; `BadInput` if it is damaged."""
    try:
        return Record.model_validate_json(store.get(RECORD_KEY))
    except KeyError:
        return None
    except (ValidationError, RecursionError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is nested too deeply"
        raise BadInput(f"{store.uri}: {RECORD_KEY} is damaged ({why}); choose another location or restore it") from None


def commit_record(store: Store, record: Record) -> Record:
    """Finish the artifact with the last write to it. If another run of the same recipe was first, theirs is returned.

    Raises:
        BadInput: another recipe's artifact was finished here meanwhile.
    """
    store.tidy()
    if store.put_if_absent(RECORD_KEY, _written(record)):
        return record
    theirs = read_record(store)
    if theirs is None:
        raise StoreError(f"{store.uri}: {RECORD_KEY} was there and vanished; run the same command again")
    _refuse_if_other(store, record.kind, record.recipe, theirs.kind, theirs.recipe)
    return theirs


def replace_record(store: Store, record: Record) -> None:
    """Writes a finished artifact's record anew, whole or not at all: what it says may change, not what was made."""
    store.put(RECORD_KEY, _written(record))


def _written(record: Record) -> bytes:
    return (record.model_dump_json(indent=1) + "\n").encode()


def commit_plan(store: Store, kind: str, recipe: dict[str, Any], plan: "pa.Table") -> None:
    """Begin the artifact with its first write, if it is not begun yet: by it a restart knows the place as its own.

    Raises:
        BadInput: another recipe's artifact was begun here meanwhile.
    """
    marked = plan.replace_schema_metadata(plan_marks(recipe, recipe_digest(recipe)))
    if not store.put_if_absent(PLAN_KEY, parquet(marked)):
        refuse_other(store, kind, recipe)


def plan_marks(recipe: dict[str, Any], digest: str) -> dict[str, str]:
    """The schema metadata of a stored plan, by which a restart knows its own."""
    return {"cxr.recipe": json.dumps(recipe, sort_keys=True), "cxr.recipe_digest": digest}


def commit_finished(store: Store, finish: Callable[[], Record]) -> Record:
    """`commit_record` of what `finish` gives, or the record of another run of the same recipe that has finished the
    artifact meanwhile and swept up the commits that `finish` reads (it raises `KeyError` then)."""
    try:
        return commit_record(store, finish())
    except KeyError:
        record = read_record(store)
        if record is None:
            raise
        return record


def _begun_recipe(store: Store) -> dict[str, Any]:
    """The recipe in the plan's schema metadata; reads the file's footer, not its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_schema(store.open(PLAN_KEY)).metadata or {}
        recipe = json.loads(found[b"cxr.recipe"])
        if isinstance(recipe, dict) and recipe_digest(recipe) == found[b"cxr.recipe_digest"].decode():
            return recipe
    except (pa.ArrowException, KeyError, ValueError, RecursionError):
        pass
    except OSError as error:
        raise StoreError(f"{store.uri}: {PLAN_KEY} cannot be read ({type(error).__name__})") from None
    raise BadInput(f"{store.uri}: {PLAN_KEY} is damaged or not one of ours; choose another --out")


def _refuse_if_other(store: Store, kind: str, recipe: dict[str, Any], held_kind: str, held: dict[str, Any]) -> None:
    if held_kind != kind:
        _refuse(store, f"holds a {held_kind} artifact, not a {kind} one")
    if recipe_digest(held) != recipe_digest(recipe):
        _refuse(store, f"holds another recipe's artifact ({_differences(held, recipe)})")


def _refuse(store: Store, why: str) -> NoReturn:
    raise BadInput(f"{store.uri}: {why}; choose another --out")


def _differences(old: dict[str, Any], new: dict[str, Any], most: int = 4) -> str:
    """`field old -> new` for the first fields that differ, nested ones with dots."""
    before, after = _flat(old), _flat(new)
    fields = [f for f in sorted(before | after) if before.get(f) != after.get(f)]
    told = [f"{f} {_short(before, f)} -> {_short(after, f)}" for f in fields[:most]]
    return ", ".join(told) + (f" and {len(fields) - most} more" if len(fields) > most else "")


def _flat(recipe: dict[str, Any], path: str = "") -> dict[str, str]:
    """Each leaf as compact JSON under its dotted name."""
    flat: dict[str, str] = {}
    for name, value in recipe.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{path}{name}.")
        else:
            flat[path + name] = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return flat


def _short(flat: dict[str, str], field: str) -> str:
    text = flat.get(field, "absent")
    return text if len(text) <= 60 else text[:57] + "..."
