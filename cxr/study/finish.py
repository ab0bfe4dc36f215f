"""The end of a study: plots, tables and page, and the record last."""

import json
from collections.abc import Iterator, Mapping

import numpy as np

from cxr.artifact import Made, Record, library_versions
from cxr.artifact.keys import PAGE_KEY, PLAN_KEY
from cxr.artifact.kinds import AUDIT, EVALUATION
from cxr.artifact.metrics import AuditMetrics, FilterMetrics, StudyMetrics
from cxr.artifact.quality import read_quality
from cxr.data.candidates import describe_filter
from cxr.report.limits import unaudited
from cxr.store import Store, StoredObject
from cxr.study.answer import answer, notes
from cxr.study.config import BASELINE
from cxr.study.external_summary import summarise_external
from cxr.study.external_words import describe_external
from cxr.study.generators import generator_saw_more
from cxr.study.job import StudyJob, prompt_accuracies, read_trials
from cxr.study.labels_check import describe_prompt_accuracy
from cxr.study.origins import origins, studies_phantoms
from cxr.study.pages import plots
from cxr.study.pages import table_files as tables
from cxr.study.pages.grid import draw_grid
from cxr.study.pages.page import GRID, page
from cxr.study.plan import POWER_KEY, read_plan
from cxr.study.protocol_words import describe_settings
from cxr.study.results import AUDITED, External, Leakage, Source, Study, Trial, study_json, trial_key
from cxr.study.sets import SYNTHETIC, Sets, external_name
from cxr.study.sets_check import PARTS
from cxr.study.subgroups import describe_gaps
from cxr.study.summary import summarise
from cxr.study.tested import read_external_set, read_test_set
from cxr.study.worth import explain_no_worth, read_worth
from cxr.study.worth_words import describe_worth

RESULTS_KEY, TABLE_KEY = "results.json", "results.md"
SPLIT_HERE = (
    "The set came without a split and was split here, by picture: 70 % of each finding to train on, 10 % to choose the "
    "epoch by, 20 % to test. Where it is generated, labels are what was asked for, and numbers say how well its "
    "findings are told apart, not how well those of patients would be."
)


def write_report(job: StudyJob) -> tuple[Study, list[StoredObject]]:
    """Writes plots, tables and page of what trials have left so far; returns the study and what was written.

    Raises:
        BadInput: every trial of the baseline failed, or the test part is too small to say anything.
    """
    study = describe_study(job, read_trials(job))
    records = {"study": {"recipe": job.recipe, "versions": library_versions()}}
    records |= {name: json.loads(record.model_dump_json()) for name, (_, record) in list_sources(job).items()}
    quality = read_quality(job.evaluation[0]) if job.evaluation else None
    pictures = plots.draw(study) | {GRID: draw_grid(job.sets)}
    written = {**tables.files(study), RESULTS_KEY: study_json(study), **pictures}
    written[PAGE_KEY] = page(study, records, pictures, quality, sorted(set(written) - set(pictures))).encode()
    return study, [job.store.put(key, data) for key, data in written.items()]


def describe_study(job: StudyJob, trials: list[Trial]) -> Study:
    """All that the study says, in named records."""
    config, sets, test = job.config, job.sets, read_test_set(job.sets)
    failed = sorted(set(job.draws) - {(trial.arm, trial.seed) for trial in trials})
    arms = summarise(config, trials, failed, test, sets.classes, np.random.default_rng(config.seeds[0]))
    learning = read_worth(config, trials, test, np.random.default_rng(config.seeds[0]))
    audits = read_audits(job)
    saw_more = [arm.name for arm in config.arms if generator_saw_more(sets, arm, job.lists)]
    found = answer(config, arms, saw_more)
    external = list(summarise_elsewhere(job, trials))
    return Study(
        answer=found.headline,
        details=[
            *found.details,
            *(describe_worth(learning, saw_more) if learning else explain_no_worth(config, trials)),
            *describe_external(external, BASELINE, config.primary),
            *(line for arm in arms if arm.arm in (BASELINE, config.primary) for line in describe_gaps(arm)),
        ],
        margin=config.margin,
        primary=config.primary,
        phantom=studies_phantoms(sets.real),
        classes=list(sets.classes),
        baseline=BASELINE,
        budget=config.budget,
        arms=arms,
        train=sets.counts("train"),
        validation=sets.counts("validation"),
        test=sets.counts("test"),
        test_patients=len(set(test.patients)),
        settings=describe_settings(job),
        sources=[describe_source(name, *found, job) for name, found in list_sources(job).items()],
        allowed=job.allowed,
        notes=[
            *describe_labels(job),
            *describe_filters(job),
            *describe_audits(audits),
            *([SPLIT_HERE] if sets.split_here else []),
            *notes(config, failed, test, sets.classes),
            *describe_generators(sets),
        ],
        pictures={part: len(sets.part(part)) for part in PARTS} if sets.several else {},
        origins=origins(sets.real, sets.sides) | elsewhere(sets) | audit_verdicts(audits),
        learning=learning,
        leakage=read_leakage(audits.get(SYNTHETIC)),
        external=external,
    )


def summarise_elsewhere(job: StudyJob, trials: list[Trial]) -> Iterator[External]:
    """What trials do at each other hospital."""
    test, classes = read_test_set(job.sets), job.sets.classes
    for name, found in job.sets.external.items():
        rng = np.random.default_rng(job.config.seeds[0])
        there = read_external_set(job.sets, name)
        yield summarise_external(job.config, name, trials, test, there, classes, found.left_out, rng)


def describe_labels(job: StudyJob) -> list[str]:
    """How often the pictures of each synthetic set show what was asked for."""
    return [
        describe_prompt_accuracy(name, found) for name, found in prompt_accuracies(job.sets, job.evaluation).items()
    ]


def describe_filters(job: StudyJob) -> list[str]:
    """How the pictures of filtered sets were chosen."""
    return [
        f"The set '{name}' was filtered by {', '.join(chosen.tests)}: {'; '.join(describe_filter(chosen))}."
        + (" Arms less the refused, or as made, draw on all that were made." if name in job.sets.refused else "")
        for name, found in job.sets.sides.items()
        if (chosen := FilterMetrics.read(found.record).filter)
    ]


def elsewhere(sets: Sets) -> dict[str, str]:
    """What the pictures of other hospitals are, and what their findings are called there."""
    found = {}
    for name, one in sets.external.items():
        called = ", ".join(
            f"{ours} from {' and '.join(theirs)}" for ours, theirs in one.findings.items() if theirs != [ours]
        )
        left = f"; {one.left_out:,} without a label of this study left out" if one.left_out else ""
        found[f"pictures of {name}"] = f"from {', '.join(one.data.sources)}{f'; {called}' if called else ''}{left}"
    return found


def read_audits(job: StudyJob) -> dict[str, AuditMetrics | None]:
    """What attacks on each synthetic set got, by its name; None: it has no audit."""
    found = {SYNTHETIC: AuditMetrics.read(job.audit[1])} if job.audit else {}
    return {name: found.get(name) for name in job.sets.sides}


def read_leakage(audit: AuditMetrics | None) -> Leakage | None:
    return Leakage(audit.verdict, audit.nearest) if audit and audit.nearest is not None else None


def audit_verdicts(audits: Mapping[str, AuditMetrics | None]) -> dict[str, str]:
    """Of each synthetic set, by what the page calls it."""
    return {f"audit of {name} pictures": found.verdict if found else "unaudited" for name, found in audits.items()}


def describe_audits(audits: Mapping[str, AuditMetrics | None]) -> list[str]:
    """In words; a set without an audit is called unaudited."""
    return [
        f"Audit of the set '{name}': {found.verdict}. {' '.join(found.summary)}"
        if found
        else unaudited(f"the set '{name}'")
        for name, found in audits.items()
    ]


def describe_generators(sets: Sets) -> list[str]:
    """What no study of one run can say, of each synthetic set; of several runs, what the intervals hold."""
    several = sets.generators if sets.further else []
    runs = [
        f"{len(several)} trainings of the generator stand behind {', '.join(several)}, one with each seed in turn: "
        "intervals and p of arms with these pictures are also for a new training of it; what a picture is worth is not."
    ]
    return (runs if several else []) + [
        f"Only one generator run stands behind the set '{name}': the answer is conditional on it, and another run of "
        "the same recipe may do better or worse."
        for name in sets.sides
        if name not in several
    ]


def list_sources(job: StudyJob) -> dict[str, tuple[Store, Record]]:
    """Every artifact that the study read, and where it lies."""
    others = {external_name(name): found.data for name, found in job.sets.external.items()}
    sets = {"real": job.sets.real, **job.sets.sides, **others}
    measured = {"evaluation": job.evaluation, AUDITED: job.audit}
    return {name: (found.store, found.record) for name, found in sets.items()} | {
        name: found for name, found in measured.items() if found
    }


def describe_source(name: str, store: Store, record: Record, job: StudyJob) -> Source:
    arms = [arm.name for arm in job.config.arms if arm.synthetic and name in job.sets.sides_of(arm.name)]
    pictures = record.made.count if record.kind not in (EVALUATION, AUDIT) else 0
    return Source(name, store.uri, record.kind, record.recipe_digest, pictures, arms)


def complete(job: StudyJob, study: Study, written: list[StoredObject], timings: dict[str, float]) -> Record:
    """The record, when every trial has ended and the report is written."""
    plan = read_plan(job)
    planned = [POWER_KEY, *(trial_key(BASELINE, seed) for seed in plan.pilot.seeds)] if plan else []
    keys = [PLAN_KEY, *planned, *(trial_key(arm, seed) for arm, seed in job.draws)]
    objects = [*map(job.store.read_back, dict.fromkeys(keys)), *written]
    base = next(arm for arm in study.arms if arm.arm == BASELINE)
    return job.new_record(
        Made.of(objects),
        objects,
        inputs={name: record.recipe_digest for name, (_, record) in list_sources(job).items()},
        seeds={str(number): seed for number, seed in enumerate(job.config.seeds)},
        device=base.device,
        timings=timings,
        metrics=StudyMetrics(
            answer=study.answer,
            details=study.details,
            phantom=study.phantom,
            baseline={name: found.mean for name, found in base.metrics.items()},
        ).write(),
    )
