"""What is left of a night: an artifact that says what was made, how good it is, and whether readers should take it."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cxr.artifact import (
    PLAN_KEY,
    Made,
    Record,
    commit_plan,
    commit_record,
    library_versions,
    read_record,
    recipe_digest,
    refuse_other,
)
from cxr.data.lineage import PHANTOM_NOTICE, SET_SOURCES, has_phantoms
from cxr.nightly.config import NightlyConfig, identity
from cxr.nightly.gate import Check, Figures, Frozen, judge
from cxr.nightly.places import DATA, MODELS, NIGHTS, REPORT, SET, below
from cxr.nightly.pointer import Pointer
from cxr.report.html import Table, render
from cxr.report.words import number
from cxr.store import Store

KIND = "night"
REPORT_KEY, PAGE_KEY = "report.json", "index.html"


class Report(Frozen):
    """A judged night."""

    date: str
    data: str  # digests that name their places
    model: str
    pictures: int
    figures: Figures
    checks: list[Check]
    last: str  # the night that it is compared with, or empty
    phantom: bool = False  # made of phantoms: nothing here is about patients

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def verdict(self) -> str:
        """One line: passed, or what failed and why."""
        failed = "; ".join(str(check) for check in self.checks if not check.passed)
        return f"night {self.date} failed its gate: {failed}" if failed else f"night {self.date} passed its gate"


def finished(root: Store, config: NightlyConfig, date: str) -> Record | None:
    """The record of a finished night.

    Raises:
        BadInput: the night was made with another recipe.
    """
    store = place(root, date)
    if record := read_record(store):
        refuse_other(store, KIND, identity(config, date, record.recipe["data"], record.recipe["model"]))
    return record


def pinned(root: Store, date: str) -> dict[str, str] | None:
    """The digests of a night's data and model, if it was begun."""
    try:
        return pq.read_table(io.BytesIO(place(root, date).get(PLAN_KEY))).to_pylist()[0]
    except KeyError:
        return None


def begin(root: Store, config: NightlyConfig, date: str, data: str, model: str) -> dict[str, Any]:
    """Pins data and model of the night, so that it goes on with them after a crash; returns its recipe.

    Raises:
        BadInput: the night was begun with another recipe.
    """
    recipe = identity(config, date, data, model)
    commit_plan(place(root, date), KIND, recipe, pa.Table.from_pylist([{"data": data, "model": model}]))
    return recipe


def place(root: Store, date: str) -> Store:
    return below(root, f"{NIGHTS}{date}/{REPORT}")


def report_of(
    date: str, recipe: dict[str, Any], made: Record, found: Figures, config: NightlyConfig, last: Pointer
) -> Report:
    """Judges a night.

    Args:
        made: the record of the night's set.
        last: the newest earlier night that passed, or none.
    """
    alike = last.figures is not None and last.figures.measured == found.measured
    return Report(
        date=date, data=recipe["data"], model=recipe["model"], pictures=made.made.count, figures=found,
        checks=judge(found, config, last.figures), last=last.night if alike else "",
        phantom=has_phantoms(made.metrics.get(SET_SOURCES, ())),
    )  # fmt: skip


def pointer_to(report: Report) -> Pointer:
    """What `latest` says of a night that passed."""
    return Pointer(
        night=report.date, set=f"{NIGHTS}{report.date}/{SET}", data=f"{DATA}{report.data}",
        model=f"{MODELS}{report.model}", figures=report.figures,
    )  # fmt: skip


def complete(root: Store, report: Report, recipe: dict[str, Any], timings: dict[str, float]) -> Record:
    """Writes report and page, the record last."""
    store = place(root, report.date)
    objects = [
        store.read_back(PLAN_KEY),
        store.put(REPORT_KEY, (report.model_dump_json(indent=1) + "\n").encode()),
        store.put(PAGE_KEY, page(report).encode()),
    ]
    record = Record(
        kind=KIND, recipe=recipe, recipe_digest=recipe_digest(recipe),
        inputs={name: recipe[name] for name in ("data", "model")}, made=Made.of(objects), objects=objects,
        versions=library_versions(), timings=timings, metrics={"passed": report.passed, "verdict": report.verdict},
    )  # fmt: skip
    return commit_record(store, record)


def page(report: Report) -> str:
    """The page beside `report.json`; it links to what lies around it."""
    warning = PHANTOM_NOTICE if report.phantom else ""
    return render("night.html", report=report, checks=checks_table(report), warning=warning)


def checks_table(report: Report) -> Table:
    rows = []
    for check in report.checks:
        limit = f"{'at most' if check.at_most else 'at least'} {number(check.limit)}"
        rows.append([check.name.rstrip(","), shown(check.figure), limit, "passed" if check.passed else "failed"])
    return ["figure", "found", "limit", "result"], rows


def shown(figure: float | None) -> str:
    return "-" if figure is None else number(figure)
