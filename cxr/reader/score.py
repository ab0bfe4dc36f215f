"""What readers' answers say: whether they tell synthetic from real X-rays, how they agree, which pictures deceive."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cxr.artifact import Artifact, Made, Record
from cxr.artifact.keys import PAGE_KEY, PLAN_KEY
from cxr.artifact.kinds import READER_SCORE
from cxr.errors import BadInput
from cxr.reader.answers import Answer, findings_seen, read_answers, realism, verdicts
from cxr.reader.job import Key, read_key
from cxr.reader.pictures import draw_areas, draw_curves, read_shown
from cxr.reader.statistics import BY_CHANCE, Estimate, Figures, areas, difference_of_means, fleiss_kappa, mean_area
from cxr.report.limits import unaudited
from cxr.report.pages import Table, embedded, render
from cxr.store import Store, sha256

RESULTS_KEY, CSV_KEY, CURVES_KEY, AREAS_KEY = "results.json", "cases.csv", "roc.png", "auc.png"
MOST_SHOWN, MOST_PICTURES = 20, 12  # cases in each of the page's tables, and above it
MOST_FILES = 1000


@dataclass(frozen=True)
class ScoreJob(Artifact):
    """All that is fixed before anything is written."""

    kind = READER_SCORE

    study: Store
    prepared: Record
    key: Key
    answers: dict[str, list[Answer]]  # by reader, in the order of the key's cases


@dataclass(frozen=True)
class Scores:
    """Of all readers together, and of each: AUC, accuracy, and how synthetic cases differ from real ones in realism and
    in findings that were seen as labelled."""

    readers: list[str]
    area: list[Estimate]  # all together first, then each
    accuracy: list[Estimate]
    realism: list[Estimate]
    seen: list[Estimate]
    kappa: Estimate | None  # none of one reader, or where all said the same


def prepare(store: Store, study: Store, files: Sequence[str]) -> ScoreJob:
    """Raises `BadInput` unless these are finished answers to this study, and the place is free."""
    record, key = read_key(study)
    if not 1 <= len(files) <= MOST_FILES:
        raise BadInput("give the study, then one file or more that its readers' pages saved")
    answers = read_answers(files, key)
    digests = sorted(sha256(Path(file).read_bytes()) for file in files)
    job = ScoreJob(store, {"study": record.recipe_digest, "answers": digests}, study, record, key, answers)
    job.refuse_other()
    return job


def score(key: Key, answers: dict[str, list[Answer]]) -> Scores:
    """All figures with their intervals."""
    synthetic = np.array([case.synthetic for case in key.cases])
    each = int(min(synthetic.sum(), (~synthetic).sum()))
    said = verdicts(answers)

    def of_areas(given: np.ndarray) -> list[Estimate]:
        found = areas(given[:, synthetic], given[:, ~synthetic])
        return [mean_area(part, each) for part in with_each(found)]

    def of_means(given: np.ndarray) -> list[Estimate]:
        found = difference_of_means(given[:, synthetic], given[:, ~synthetic])
        return [part.mean() for part in with_each(found)]

    kappa = fleiss_kappa(said > 0) if len(said) > 1 else None
    seen = of_means(findings_seen(answers, key))
    return Scores([*answers], of_areas(said), of_areas(np.sign(said)), of_means(realism(answers)), seen, kappa)


def with_each(found: Figures) -> list[Figures]:
    return [found, *found.each()]


def describe(scores: Scores, readers: int, cases: int) -> list[str]:
    """The answer, in words; that readers did not tell pictures apart is not said to mean that nobody can."""
    area, who = scores.area[0], "The reader" if len(scores.readers) == 1 else f"The {len(scores.readers)} readers"
    if area.low > BY_CHANCE:
        answer = f"{who} told synthetic from real X-rays better than by chance: AUC {area}."
    elif area.high < BY_CHANCE:
        answer = f"{who} took synthetic X-rays for real more often than real ones: AUC {area}."
    else:
        answer = f"{who} were not shown to tell synthetic from real X-rays: AUC {area}; up to {area.high:.2f} fits."
        answer = answer.replace("reader were", "reader was")
    right = scores.accuracy[0]
    share, low, high = (100 * value for value in (right.value, right.low, right.high))
    lines = [
        answer,
        f"Of {cases} cases each called {share:.0f} % rightly on average ({low:.0f} to {high:.0f} %; by chance 50 %).",
    ]
    lines.append(describe_realism(scores.realism[0]))
    if scores.kappa:
        lines.append(f"Agreement on real or synthetic beyond chance: Fleiss' kappa {scores.kappa}.")
    elif len(scores.readers) > 1:
        lines.append("All said the same of every case, so there is no kappa.")
    if len(scores.readers) == 1:
        lines.append("One reader: the intervals are for other cases read by this one, not for other readers.")
    if len(scores.readers) < readers:
        lines.append(f"{len(scores.readers)} of {readers} readers answered.")
    return lines


def describe_realism(difference: Estimate) -> str:
    """Of synthetic X-rays less real ones, on a scale of 4 points."""
    if difference.low <= 0 <= difference.high:
        return f"That they look more or less real was not shown: synthetic less real ones {difference} of 4 points."
    more, sign = ("more", 1) if difference.low > 0 else ("less", -1)
    size = Estimate(sign * difference.value, *sorted((sign * difference.low, sign * difference.high)))
    return f"Synthetic X-rays look {more} real than real ones by {size} of 4 points."


def case_rows(job: ScoreJob) -> list[dict[str, Any]]:
    """A case a row, the most deceiving first: how many readers were wrong, then how sure they were of it."""
    said = verdicts(job.answers)
    rows = []
    for place, case in enumerate(job.key.cases):
        toward_wrong = -said[:, place] if case.synthetic else said[:, place]
        rows.append({
            "image_id": case.image_id, "is": "synthetic" if case.synthetic else "real", "finding": case.finding,
            "wrong": int((toward_wrong > 0).sum()), "readers": len(said),
            "confidence_when_wrong": float(toward_wrong[toward_wrong > 0].mean()) if (toward_wrong > 0).any() else 0.0,
            "realism": float(np.mean([answers[place].realism for answers in job.answers.values()])),
            "comments": " | ".join(filter(None, (answers[place].comment.strip() for answers in job.answers.values()))),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (-row["wrong"], -row["confidence_when_wrong"], row["image_id"]))


def reader_table(scores: Scores) -> Table:
    head = ["", "AUC", "accuracy", "realism, synthetic less real", "findings seen as labelled, synthetic less real"]
    columns = (scores.area, scores.accuracy, scores.realism, scores.seen)
    names = ["all readers", *scores.readers]
    return head, [[name, *(str(column[row]) for column in columns)] for row, name in enumerate(names)]


def deceiving(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["is"] == kind and row["wrong"]][:MOST_SHOWN]


def deceiving_table(wrong: list[dict[str, Any]]) -> Table:
    head = ["image", "finding", "readers deceived", "their confidence, 1 to 3", "realism", "comments"]
    return head, [
        [row["image_id"], row["finding"].replace("_", " "), f"{row['wrong']} of {row['readers']}",
         f"{row['confidence_when_wrong']:.1f}", f"{row['realism']:+.1f}", row["comments"]]
        for row in wrong
    ]  # fmt: skip


def write(job: ScoreJob) -> Record:
    """Writes page and tables; returns the record."""
    scores, rows = score(job.key, job.answers), case_rows(job)
    lines = describe(scores, len(job.key.orders), len(job.key.cases))
    job.begin(pa.table({"reader": scores.readers}))
    wrong = {f"{kind.capitalize()} X-rays that were taken for {other}": deceiving(rows, kind)
             for kind, other in (("synthetic", "real"), ("real", "synthetic"))}  # fmt: skip
    synthetic = np.array([case.synthetic for case in job.key.cases])
    plots = {
        CURVES_KEY: draw_curves(scores.readers, verdicts(job.answers), synthetic),
        AREAS_KEY: draw_areas(scores.readers, scores.area),
    }
    page = render(
        "reader_scores.html", lines=lines, unaudited=unaudited("the synthetic set"), readers=reader_table(scores),
        shown=pictures_of(job, wrong), plots={key: embedded(plot) for key, plot in plots.items()},
        tables={name: deceiving_table(some) for name, some in wrong.items()},
    )  # fmt: skip
    figures = {name: [vars(one) for one in getattr(scores, name)] for name in ("area", "accuracy", "realism", "seen")}
    kappa = scores.kappa and vars(scores.kappa)
    told = {"answers": lines, "readers": ["all", *scores.readers], **figures, "kappa": kappa}
    pieces = {
        RESULTS_KEY: json.dumps(told, indent=1).encode(),
        CSV_KEY: comma_separated(rows),
        **plots,
        PAGE_KEY: page.encode(),
    }
    objects = [job.store.read_back(PLAN_KEY), *(job.store.put(key, data) for key, data in pieces.items())]
    return job.new_record(Made.of(objects), objects, {"answers": lines}, inputs={"study": job.recipe["study"]})


def pictures_of(job: ScoreJob, wrong: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The rows whose X-rays the page shows, each with its `picture`; none where the pages of `prepare` are gone."""
    case_of = {(case.image_id, case.synthetic): place for place, case in enumerate(job.key.cases)}
    places = {
        name: [case_of[row["image_id"], row["is"] == "synthetic"] for row in some[:MOST_PICTURES]]
        for name, some in wrong.items()
    }
    found = read_shown(job.study, job.prepared, job.key, [place for some in places.values() for place in some])
    return {
        name: [row | {"picture": found[place]} for row, place in zip(wrong[name], some, strict=False) if found]
        for name, some in places.items()
    }


def comma_separated(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    lines = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue().encode()
