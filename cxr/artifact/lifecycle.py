"""One life of an artifact: begun with its plan, made, finished with its record, swept.

Any number of drivers may make the same one at the same time. What each writes follows from the recipe, so that it does
not matter whose writing stays; one of them writes the record, and the others take it.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from cxr.artifact.keys import PLAN_KEY, RECORD_KEY
from cxr.artifact.record import Made, Record, library_versions, read_record, recipe_digest, record_json
from cxr.artifact.tracking import track
from cxr.cost import PRICE
from cxr.errors import BadInput, StoreError
from cxr.store.base import Store, StoredObject
from cxr.store.files import parquet

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Artifact:
    """A place, and the recipe of what is made there. A job is one, with all that is fixed before its work begins."""

    kind: ClassVar[str]
    scratch: ClassVar[tuple[str, ...]] = ()  # prefixes of objects that only the making needs

    store: Store
    recipe: dict[str, Any]

    @property
    def digest(self) -> str:
        return recipe_digest(self.recipe)

    def refuse_other(self) -> None:
        """`BadInput` unless the place is empty or holds this artifact, finished or begun. Writes nothing."""
        refuse_other(self.store, self.kind, self.recipe)

    def begin(self, plan: "pa.Table | bytes") -> None:
        """Stores the plan, unless it is there: by it a restart knows the place as its own.

        Args:
            plan: a table, or a Parquet file that has `plan_marks` already.

        Raises:
            BadInput: another recipe's artifact was begun here meanwhile.
        """
        data = plan if isinstance(plan, bytes) else self.mark_plan(plan)
        if not self.store.put_if_absent(PLAN_KEY, data):
            self.refuse_other()

    def mark_plan(self, plan: "pa.Table") -> bytes:
        """The plan's file with the recipe in it."""
        return parquet(plan.replace_schema_metadata(plan_marks(self.recipe)))

    def make(self, work: Callable[[], Record]) -> Record:
        """The record of the artifact, which `work` makes. If another driver finishes it meanwhile, theirs: whatever
        `work` then misses, because they have swept it up, or fails in, the artifact is complete. Tracked, where the
        environment says so (`cxr.artifact.tracking`).

        Raises:
            BadInput: another recipe's artifact was finished here meanwhile.
        """
        with track(self.kind, self.recipe, self.digest, self.store.uri) as run:
            record = self._make(work)
            run.conclude(record)
        return record

    def take_finished(self) -> Record | None:
        """The record, if the artifact is complete; what only the making needed is then removed.

        Raises:
            BadInput: it is another recipe's.
        """
        record = read_record(self.store)
        if record is not None:
            _refuse_if_other(self.store, self.kind, self.recipe, record.kind, record.recipe)
            self._sweep()
        return record

    def new_record(
        self,
        made: Made,
        objects: list[StoredObject],
        metrics: dict[str, Any],
        *,
        inputs: dict[str, str],
        seeds: dict[str, int] | None = None,
        device: str = "",
        timings: dict[str, float] | None = None,
    ) -> Record:
        """The record of what `work` has made, with recipe, library versions and price; `make` stores it."""
        return Record(
            kind=self.kind, recipe=self.recipe, recipe_digest=self.digest, inputs=inputs, made=made, objects=objects,
            seeds=seeds or {}, versions=library_versions(), device=device, timings=timings or {},
            hour_price=os.environ.get(PRICE, ""), metrics=metrics,
        )  # fmt: skip

    def _make(self, work: Callable[[], Record]) -> Record:
        try:
            record = commit_record(self.store, work())
        except Exception:
            theirs = self.take_finished()
            if theirs is None:
                raise
            return theirs
        self._sweep()
        return record

    def _sweep(self) -> None:
        self.store.delete([found.key for prefix in self.scratch for found in self.store.list(prefix)])


def plan_marks(recipe: dict[str, Any]) -> dict[str, str]:
    """The schema metadata of a stored plan, by which a restart knows its own."""
    return {"cxr.recipe": json.dumps(recipe, sort_keys=True), "cxr.recipe_digest": recipe_digest(recipe)}


def refuse_other(store: Store, kind: str, recipe: dict[str, Any]) -> None:
    """`BadInput` unless the place is empty or holds this recipe's artifact, finished or begun. Writes nothing."""
    record = read_record(store)
    if record is not None:
        _refuse_if_other(store, kind, recipe, record.kind, record.recipe)
    elif store.exists(PLAN_KEY):
        _refuse_if_other(store, kind, recipe, kind, _begun_recipe(store))
    elif next(iter(store.list()), None) is not None:
        raise BadInput(f"{store.uri}: not empty and not one of ours; choose another --out")


def commit_record(store: Store, record: Record) -> Record:
    """Finish the artifact with the last write to it. If another run of the same recipe was first, theirs is returned.

    Raises:
        BadInput: another recipe's artifact was finished here meanwhile.
    """
    store.tidy()
    if store.put_if_absent(RECORD_KEY, record_json(record)):
        return record
    theirs = read_record(store)
    if theirs is None:
        raise StoreError(f"{store.uri}: {RECORD_KEY} was there and vanished; run the same command again")
    _refuse_if_other(store, record.kind, record.recipe, theirs.kind, theirs.recipe)
    return theirs


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


def _refuse_if_other(store: Store, kind: str, recipe: dict[str, Any], stored_kind: str, stored: dict[str, Any]) -> None:
    if stored_kind != kind:
        _refuse(store, f"holds a {stored_kind} artifact, not a {kind} one")
    if recipe_digest(stored) != recipe_digest(recipe):
        _refuse(store, f"holds another recipe's artifact ({_differences(stored, recipe)})")


def _refuse(store: Store, why: str) -> NoReturn:
    raise BadInput(f"{store.uri}: {why}; choose another --out")


def _differences(old: dict[str, Any], new: dict[str, Any], most: int = 4) -> str:
    """`field old -> new` for the first fields that differ, nested ones with dots."""
    before, after = _flat(old), _flat(new)
    fields = [f for f in sorted(before | after) if before.get(f) != after.get(f)]
    changes = [f"{f} {_short(before, f)} -> {_short(after, f)}" for f in fields[:most]]
    return ", ".join(changes) + (f" and {len(fields) - most} more" if len(fields) > most else "")


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
