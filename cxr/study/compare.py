"""Finished studies of one real set side by side: which generator, what its pictures did, with intervals."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from cxr.artifact import Artifact, Made, Record, read_record
from cxr.artifact.keys import PAGE_KEY, PLAN_KEY
from cxr.artifact.kinds import COMPARISON, STUDY
from cxr.artifact.metrics import StoredPart, locate_damage
from cxr.errors import BadInput
from cxr.report.limits import UNAUDITED
from cxr.report.pages import Table, embedded, markdown_table, render
from cxr.report.words import call_apart
from cxr.store import Store
from cxr.study.config import BASELINE, Arm
from cxr.study.differences import primary_pair
from cxr.study.learning_results import LearningCurve
from cxr.study.pages.worth_plot import worth_against_leakage
from cxr.study.results import AUDITED, Leakage
from cxr.study.sets import SYNTHETIC
from cxr.study.worth_leakage import HOW, Point, points_of, worth_table

RESULTS_KEY, TABLE_KEY, CSV_KEY = "results.json", "comparison.md", "comparison.csv"
WORTH_KEY, WORTH = "worth_leakage.png", "Worth against leakage"
MAIN, NOTHING = "auroc", "-"
HOW_TO_TEST = (
    "Each study tests its own synthetic pictures against real ones. Whether one generator does better than another is "
    "not tested here: intervals that overlap do not say that they are alike, nor one above zero beside one "
    "that is not that they differ."
)


class Change(StoredPart):
    """An arm less another."""

    against: str
    metric: str
    mean: float
    low: float
    high: float
    p_holm: float


class Level(StoredPart):
    mean: float
    low: float | None = None
    high: float | None = None


class ArmOfStudy(StoredPart):
    arm: str
    title: str
    seeds: list[int]
    figures: dict[str, Level]
    differences: list[Change]


class SourceOfStudy(StoredPart):
    name: str
    uri: str
    digest: str
    arms: tuple[str, ...] = ()


class Results(StoredPart):
    """What is read of a study's `results.json`."""

    answer: str
    phantom: bool
    arms: list[ArmOfStudy]
    test_patients: int
    settings: dict[str, str]
    sources: list[SourceOfStudy]
    allowed: tuple[str, ...] = ()
    learning: LearningCurve | None = None
    leakage: Leakage | None = None


@dataclass(frozen=True)
class FinishedStudy:
    name: str  # of its folder or prefix, or more of the place where two are called so
    store: Store
    record: Record
    results: Results

    def find(self, arm: str) -> ArmOfStudy | None:
        return next((one for one in self.results.arms if one.arm == arm), None)

    def change(self, arm: str, against: str) -> Change | None:
        """In AUROC."""
        found = self.find(arm)
        changes = found.differences if found else []
        return next((one for one in changes if (one.against, one.metric) == (against, MAIN)), None)

    @property
    def points(self) -> list[Point]:
        """Worth and leakage of each arm with pictures of the audited set; of shuffled labels neither is asked."""
        shuffled = {arm.name for arm in map(Arm.model_validate, self.record.recipe["arms"]) if arm.shuffled}
        arms = [arm for one in self.results.sources if one.name == SYNTHETIC for arm in one.arms if arm not in shuffled]
        return points_of(self.name, arms, self.results.learning, self.results.leakage)

    @property
    def primary(self) -> tuple[str, str] | None:
        """The arm that its answer is about, and which it is compared with."""
        arms = [Arm.model_validate(arm) for arm in self.record.recipe["arms"]]
        return primary_pair(arms, self.record.recipe["primary"])

    def source_of(self, arm: str) -> SourceOfStudy | None:
        """The set that an arm takes its synthetic pictures from."""
        return next((one for one in self.results.sources if arm in one.arms), None)

    def generated_by(self, arm: str) -> str:
        """That set's name."""
        found = self.source_of(arm)
        return f"{last_word(found.uri)} ({found.digest[:12]})" if found else NOTHING

    def note_audit(self, arm: str) -> str:
        """What a table says behind the name, where the study quotes no audit of that set."""
        found = self.source_of(arm)
        audited = found and found.name == SYNTHETIC and any(one.name == AUDITED for one in self.results.sources)
        return "" if found is None or audited else f", {UNAUDITED}"


@dataclass(frozen=True)
class CompareJob(Artifact):
    """All that is fixed before anything is written."""

    kind = COMPARISON

    studies: list[FinishedStudy]


def prepare(store: Store, places: Sequence[Store]) -> CompareJob:
    """Raises `BadInput` unless these are two or more finished studies of one real set, and the place is free."""
    if len(places) < 2:
        raise BadInput("give two studies or more, each the --out of jobs/study.py")
    uris = [place.uri for place in places]
    if len(set(uris)) < len(uris):
        raise BadInput("a study is given twice; give each once")
    studies = [read_study(place, name) for place, name in zip(places, call_apart(uris), strict=True)]
    first = studies[0]
    for other in studies[1:]:
        if other.record.recipe["real"] != first.record.recipe["real"]:
            raise BadInput(
                f"{other.store.uri}: is of another real set than {first.store.uri}, so other patients were tested; "
                "compare studies of one real set"
            )
    job = CompareJob(store, {"studies": [one.record.recipe_digest for one in studies]}, studies)
    job.refuse_other()
    return job


def read_study(store: Store, name: str) -> FinishedStudy:
    """Raises `BadInput` unless a finished study is there."""
    record = read_record(store)
    if record is None or record.kind != STUDY:
        raise BadInput(f"{store.uri}: holds no finished study; give the --out of jobs/study.py")
    try:
        return FinishedStudy(name, store, record, Results.model_validate_json(store.get(RESULTS_KEY)))
    except ValidationError as error:
        raise BadInput(f"{store.uri}/{RESULTS_KEY}: is damaged: {locate_damage(error)}; restore it") from None


def last_word(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def write(job: CompareJob) -> Record:
    """Writes page and tables; returns the record."""
    studies = job.studies
    job.begin(pa.table({"study": [one.store.uri for one in studies], "recipe": job.recipe["studies"]}))
    tables = {"The answer of each study": answers(studies), "Each arm less the baseline, AUROC": by_arm(studies)}
    points = [point for one in studies for point in one.points]
    figures = {WORTH_KEY: worth_against_leakage(studies[0].results, points)} if points else {}
    if points:
        tables[WORTH] = worth_table(points)
    notes = describe_differences(studies)
    lines = answer_lines(studies)
    text = [f"# {title(studies)}", "\n".join(f"- {line}" for line in lines), *(f"> **Note:** {line}" for line in notes)]
    text += [f"## {name}\n\n{markdown_table(*cells)}" for name, cells in tables.items()]
    pieces = {
        **figures,
        TABLE_KEY: "\n\n".join([*text, HOW_TO_TEST, *([HOW] if points else []), ""]).encode(),
        CSV_KEY: comma_separated(studies),
        PAGE_KEY: render(
            "comparison.html",
            title=title(studies),
            lines=lines,
            notes=notes,
            tables=tables,
            how=HOW_TO_TEST,
            figures=[(WORTH, HOW, embedded(png), key) for key, png in figures.items()],
        ).encode(),
    }
    objects = [job.store.read_back(PLAN_KEY), *(job.store.put(key, data) for key, data in pieces.items())]
    inputs = {one.name: one.record.recipe_digest for one in studies}
    return job.new_record(Made.of(objects), objects, {"answers": lines}, inputs=inputs)


def title(studies: Sequence[FinishedStudy]) -> str:
    return f"{len(studies)} studies side by side: {', '.join(one.name for one in studies)}"


def answer_lines(studies: Sequence[FinishedStudy]) -> list[str]:
    return [f"{one.name}: {one.results.answer}" for one in studies]


def describe_differences(studies: Sequence[FinishedStudy]) -> list[str]:
    """What a reader must know before comparing: where the protocols differ, and what was let pass."""
    notes = ["Of phantoms: no number here says anything about patients."] if studies[0].results.phantom else []
    for name in dict.fromkeys(name for one in studies for name in one.results.settings):
        values = [one.results.settings.get(name, NOTHING) for one in studies]
        if len(set(values)) > 1:
            told = "; ".join(f"{one.name}: {value}" for one, value in zip(studies, values, strict=True))
            notes.append(f"The studies differ in {name}, so a difference between them may come from that: {told}.")
    notes += [f"{one.name} went on though: {doubt}." for one in studies for doubt in one.results.allowed]
    return notes


def answers(studies: Sequence[FinishedStudy]) -> Table:
    """A study a row: what its primary arm did."""
    head = ["study", "synthetic set", "its arm", "AUROC of the baseline", "AUROC of the arm", "difference", "against"]
    return [*head, "p", "seeds"], [answer_row(one) for one in studies]


def answer_row(one: FinishedStudy) -> list[str]:
    arm, against = one.primary or (NOTHING, NOTHING)
    change, found = one.change(arm, against), one.find(arm)
    levels = [level(one.find(name)) for name in (BASELINE, arm)]
    p = NOTHING if change is None else "<0.001" if change.p_holm < 0.001 else f"{change.p_holm:.3f}"
    seeds = str(len(found.seeds)) if found else NOTHING
    return [one.name, one.generated_by(arm) + one.note_audit(arm), arm, *levels, gain(change), against, p, seeds]


def by_arm(studies: Sequence[FinishedStudy]) -> Table:
    """An arm a row, a study a column."""
    arms = {arm.arm: arm.title for one in studies for arm in one.results.arms if arm.arm != BASELINE}
    rows = [[f"{title}: {arm}", *(gain(one.change(arm, BASELINE)) for one in studies)] for arm, title in arms.items()]
    return ["arm", *(one.name for one in studies)], rows


def level(arm: ArmOfStudy | None) -> str:
    found = arm.figures.get(MAIN) if arm else None
    if found is None:
        return NOTHING
    return f"{found.mean:.3f}" + (f" ({found.low:.3f} to {found.high:.3f})" if found.low is not None else "")


def gain(change: Change | None) -> str:
    return f"{change.mean:+z.3f} ({change.low:+z.3f} to {change.high:+z.3f})" if change else NOTHING


def comma_separated(studies: Sequence[FinishedStudy]) -> bytes:
    """A row each arm of each study, unrounded."""
    rows: list[dict[str, Any]] = []
    for one in studies:
        for arm in one.results.arms:
            found, change = arm.figures.get(MAIN), one.change(arm.arm, BASELINE)
            measured = found.model_dump() if found else {}
            changed = change.model_dump(exclude={"against", "metric"}) if change else {}
            rows.append({
                "study": one.name, "arm": arm.arm, "synthetic_set": one.generated_by(arm.arm), "seeds": len(arm.seeds),
                **{f"auroc_{name}": measured.get(name) for name in Level.model_fields},
                **{f"less_baseline_{name}": changed.get(name) for name in ("mean", "low", "high", "p_holm")},
            })  # fmt: skip
    sink = io.StringIO()
    writer = csv.DictWriter(sink, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()
