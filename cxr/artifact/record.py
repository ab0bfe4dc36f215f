"""An artifact's record: its recipe, its inputs, what was made. Written last, so its presence means complete."""

import hashlib
import json
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cxr.artifact.keys import RECORD_KEY
from cxr.cost import parse_price
from cxr.errors import BadInput
from cxr.store.base import Store, StoredObject, check_key, digest_of

_LIBRARIES = ("cxr", "torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "ray", "numpy", "scipy",
              "opencv-python-headless", "pyarrow", "boto3", "safetensors")  # fmt: skip


class Item(Protocol):
    """Anything that describes one object's content, as `StoredObject` does."""

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
    the images that `catalog.parquet` lists. `timings` are in seconds, `hour_price` is what an hour cost, where known.
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
    hour_price: str = Field("", exclude_if=lambda price: not price)  # as records were before there was one
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
            value = metrics.get(name)
            if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
                raise ValueError(f"metrics: {name} is no list of names")
        return metrics

    @field_validator("hour_price")
    @classmethod
    def _price_fits(cls, price: str) -> str:
        if price:
            parse_price(price)
        return price

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


def read_record(store: Store) -> Record | None:
    """The record of the finished artifact, or None if there is none; `BadInput` if it is damaged."""
    try:
        return Record.model_validate_json(store.get(RECORD_KEY))
    except KeyError:
        return None
    except (ValidationError, RecursionError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is nested too deeply"
        raise BadInput(f"{store.uri}: {RECORD_KEY} is damaged ({why}); choose another location or restore it") from None


def replace_record(store: Store, record: Record) -> None:
    """Writes a finished artifact's record anew, whole or not at all: what it says may change, not what was made."""
    store.put(RECORD_KEY, record_json(record))


def record_json(record: Record) -> bytes:
    return (record.model_dump_json(indent=1) + "\n").encode()
