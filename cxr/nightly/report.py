"""What is left of a night: an artifact that says what was made, how good it is, and whether readers should take it."""

from typing import Any

import pyarrow as pa

from cxr.artifact import Artifact, Made, Record, read_record
from cxr.artifact.keys import PAGE_KEY, PLAN_KEY
from cxr.artifact.kinds import NIGHT
from cxr.artifact.metrics import NightMetrics, SourceMetrics
from cxr.data.lineage import PHANTOM_NOTICE, has_phantoms
from cxr.nightly.config import NightlyConfig, identity
from cxr.nightly.gate import Check, Frozen, GateMetrics, check_metrics
from cxr.nightly.places import DATA, MODELS, NIGHTS, REPORT, SET, below
from cxr.nightly.pointer import Pointer
from cxr.report.limits import unaudited
from cxr.report.pages import Table, render
from cxr.report.words import number
from cxr.store import Store, read_parquet

REPORT_KEY = "report.json"


class NightReport(Artifact):
    """What is left of a night; its recipe names the digests of data and model."""

    kind = NIGHT


class Report(Frozen):
    """A judged night."""

    date: str
    data: str  # digests that name their places
    model: str
    pictures: int
    metrics: GateMetrics
    checks: list[Check]
    last: str  # the night that it is compared with, or empty
    phantom: bool = False  # made of phantoms: nothing here is about patients

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def decision(self) -> str:
        """One line: passed, or what failed and why."""
        if failed := "; ".join(str(check) for check in self.checks if not check.passed):
            return f"night {self.date} failed its gate: {failed}"
        return f"night {self.date} passed its gate" + ("" if self.metrics.audit else ", unaudited")


def read_finished_night(root: Store, config: NightlyConfig, date: str) -> Record | None:
    """The record of a finished night.

    Raises:
        BadInput: the night was made with another recipe.
    """
    record = read_record(report_store(root, date))
    if record:
        night_report(root, config, date, record.recipe["data"], record.recipe["model"]).refuse_other()
    return record


def night_report(root: Store, config: NightlyConfig, date: str, data: str, model: str) -> NightReport:
    """The night that is made with this data and this model, by their digests."""
    return NightReport(report_store(root, date), identity(config, date, data, model))


def read_pinned_inputs(root: Store, date: str) -> dict[str, str] | None:
    """The digests of a night's data and model, if it was begun."""
    try:
        return read_parquet(report_store(root, date).get(PLAN_KEY)).to_pylist()[0]
    except KeyError:
        return None


def begin(root: Store, config: NightlyConfig, date: str, data: str, model: str) -> NightReport:
    """Pins data and model of the night, so that it goes on with them after a crash.

    Raises:
        BadInput: the night was begun with another recipe.
    """
    begun = night_report(root, config, date, data, model)
    begun.begin(pa.Table.from_pylist([{"data": data, "model": model}]))
    return begun


def report_store(root: Store, date: str) -> Store:
    return below(root, f"{NIGHTS}{date}/{REPORT}")


def build_report(
    date: str, recipe: dict[str, Any], generated: Record, found: GateMetrics, config: NightlyConfig, last: Pointer
) -> Report:
    """Judges a night.

    Args:
        generated: the record of the night's set.
        last: the newest earlier night that passed, or none.
    """
    alike = last.metrics is not None and last.metrics.measured == found.measured
    return Report(
        date=date, data=recipe["data"], model=recipe["model"], pictures=generated.made.count, metrics=found,
        checks=check_metrics(found, config, last.metrics), last=last.night if alike else "",
        phantom=has_phantoms(SourceMetrics.read(generated).sources or ()),
    )  # fmt: skip


def build_pointer(report: Report) -> Pointer:
    """What `latest` stores of a night that passed."""
    return Pointer(
        night=report.date, set=f"{NIGHTS}{report.date}/{SET}", data=f"{DATA}{report.data}",
        model=f"{MODELS}{report.model}", metrics=report.metrics,
    )  # fmt: skip


def complete(night: NightReport, report: Report, timings: dict[str, float]) -> Record:
    """Writes report and page; returns the record."""
    objects = [
        night.store.read_back(PLAN_KEY),
        night.store.put(REPORT_KEY, (report.model_dump_json(indent=1) + "\n").encode()),
        night.store.put(PAGE_KEY, render_page(report).encode()),
    ]
    inputs = {name: night.recipe[name] for name in ("data", "model")}
    metrics = NightMetrics(passed=report.passed, verdict=report.decision).write()
    return night.new_record(Made.of(objects), objects, metrics, inputs=inputs, timings=timings)


def render_page(report: Report) -> str:
    """The page beside `report.json`; it links to what lies around it."""
    warning = PHANTOM_NOTICE if report.phantom else ""
    return render(
        "night.html", report=report, checks=checks_table(report), warning=warning, unaudited=unaudited("the set")
    )


def checks_table(report: Report) -> Table:
    rows = []
    for check in report.checks:
        limit = f"{'at most' if check.at_most else 'at least'} {number(check.limit)}"
        rows.append([check.name.rstrip(","), format_value(check.value), limit, "passed" if check.passed else "failed"])
    return ["metric", "found", "limit", "result"], rows


def format_value(value: float | None) -> str:
    return "-" if value is None else number(value)
