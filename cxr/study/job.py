"""What `jobs/study.py` is made of, without Ray: from two sets to trials in the store, and what is left of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from cxr.artifact import Artifact, Record
from cxr.artifact.keys import COMMITS, PLAN_KEY
from cxr.artifact.kinds import STUDY
from cxr.data.catalog import CatalogSet
from cxr.data.labels import LabelPolicy
from cxr.data.lineage_lists import NO_LISTS, PatientLists
from cxr.data.prompt_accuracy import PromptAccuracy
from cxr.data.sources.chosen_findings import Groups
from cxr.errors import BadInput
from cxr.store import Store
from cxr.study.arms import TrainingDraw
from cxr.study.config import BASELINE, SUBGROUPS, StudyConfig
from cxr.study.external import check_generators
from cxr.study.labels_check import prompt_accuracy
from cxr.study.protocol import check_audit, check_evaluation, check_protocol
from cxr.study.results import Trial, read_trial, trial_key
from cxr.study.sets import Sets, draw_training_sets, external_name, match_sets
from cxr.study.tested import check_test, read_external_set, read_test_set
from cxr.study.trial import TrialSpec, TrialWorker

PILOT = 3  # seeds of the baseline that a plan is made from
OPEN = ("seeds", "primary", "margin")  # what no trial depends on, so that it may be settled after the pilot


@dataclass(frozen=True)
class PlannedStudy(Artifact):
    """A study whose seeds, primary arm and margin are not settled yet."""

    kind = STUDY


@dataclass(frozen=True)
class StudyJob(Artifact):
    """All that is fixed before the first trial."""

    kind = STUDY
    scratch = (COMMITS,)  # features of a frozen network

    config: StudyConfig
    sets: Sets
    evaluation: tuple[Store, Record] | None
    draws: dict[tuple[str, int], TrainingDraw]
    allowed: list[str]
    lists: PatientLists  # of patients whom generators were shown, see `lineage_lists.read_lists_option`
    audit: tuple[Store, Record] | None  # of the main synthetic set

    @property
    def planned(self) -> "PlannedStudy":
        """This study as a plan begins it: the pilot's trials are of it."""
        return PlannedStudy(self.store, {name: value for name, value in self.recipe.items() if name not in OPEN})

    def refuse_other(self) -> None:
        """As of any artifact; but a plan of this study may have been begun here."""
        try:
            self.planned.refuse_other()
        except BadInput:
            super().refuse_other()

    @property
    def used(self) -> np.ndarray:
        """Rows of every picture that some trial reads."""
        parts = [rows for drawn in self.draws.values() for rows in (drawn.real, drawn.synthetic)]
        judged = ["validation", "test", *map(external_name, self.sets.external)]
        return np.unique(np.concatenate([*parts, *map(self.sets.part, judged)]))

    @property
    def names(self) -> list[str]:
        return [f"{arm}/{seed}" for arm, seed in self.draws]


def prepare(
    store: Store,
    config: StudyConfig,
    real: CatalogSet,
    synthetic: CatalogSet | None,
    evaluation: tuple[Store, Record | None] | None,
    weights: str | None,
    own: Mapping[str, CatalogSet] | None = None,
    lists: PatientLists = NO_LISTS,
    audit: tuple[Store, Record | None] | None = None,
    external: Mapping[str, tuple[CatalogSet, Groups | None]] | None = None,
    further: Sequence[CatalogSet] = (),
) -> StudyJob:
    """Checks the sets and the protocol and draws the pictures of every trial; nothing goes to the store yet.

    Args:
        weights: digest of the classifier's first weights; None: from scratch.
        own: the synthetic sets of single arms, by arm.
        lists: of patients whom generators were shown, beside those that this machine has.
        external, further: see `match_sets`.

    Raises:
        BadInput: sets, protocol or place cannot be used.
    """
    sets = match_sets(real, synthetic, config, own, external, further)
    checked = None
    if evaluation is not None:
        checked = evaluation[0], check_evaluation(evaluation[0].uri, evaluation[1], sets)
    audited = audit and (audit[0], check_audit(audit[0].uri, audit[1], sets))
    check_test(read_test_set(sets), sets.classes)
    shown = prompt_accuracies(sets, checked)
    for name in sets.external:
        check_test(read_external_set(sets, name), sets.classes, f"--external {name}")
    allowed = check_protocol(sets, config, checked and checked[1], lists, shown)
    allowed += check_generators(real, sets.external, sets.sides, lists)
    recipe = {
        **config.model_dump(mode="json", exclude=left_out(config)),
        "weights": weights,
        "real": real.digest,
        "synthetic": synthetic and synthetic.digest,
        "own": {arm: found.digest for arm, found in sets.own.items()},
        "evaluation": checked and checked[1].recipe_digest,
        # without one it is what it was before
        **({"audit": audited[1].recipe_digest} if audited else {}),
        **({"further": [found.digest for found in further]} if further else {}),
        **({"external": name_external(sets)} if sets.external else {}),
    }
    job = StudyJob(store, recipe, config, sets, checked, draw_training_sets(sets, config), allowed, lists, audited)
    job.refuse_other()
    return job


def name_external(sets: Sets) -> dict[str, Any]:
    """What the recipe says of external sets."""
    return {
        name: {"set": found.data.digest, "findings": {ours: list(theirs) for ours, theirs in found.findings.items()}}
        for name, found in sets.external.items()
    }


def left_out(config: StudyConfig) -> dict[str, Any]:
    """What the recipe does not name: places, and what is as it was before there was a choice."""
    usual = {"labels": True} if config.labels == LabelPolicy() else {}
    usual |= {"subgroups": True} if config.subgroups == SUBGROUPS else {}
    classifier = {"weights"} if config.classifier.frozen else {"weights", "frozen"}
    return {"classifier": classifier, "margin": config.margin is None, **usual}


def prompt_accuracies(sets: Sets, evaluation: tuple[Store, Record] | None) -> dict[str, list[PromptAccuracy]]:
    """By synthetic set and finding; an evaluation is of the main set."""
    return {
        name: prompt_accuracy(found.record, evaluation if found is sets.synthetic else None)
        for name, found in sets.sides.items()
    }


def begin(job: StudyJob) -> None:
    """Writes which trials there are, so that a restart knows the place as its own. A plan's becomes the study's."""
    rows = [
        {"arm": spec.arm, "seed": spec.seed, "real": spec.real, "synthetic": spec.synthetic, "steps": spec.steps}
        for spec in trial_specs(job, np.arange(len(job.sets.labels)))
    ]
    plan = pa.Table.from_pylist(rows)
    job.begin(plan)
    if is_planned(job):
        job.store.put(PLAN_KEY, job.mark_plan(plan))


def is_planned(job: StudyJob) -> bool:
    """Whether a plan was begun in its place, and the study itself not yet."""
    try:
        job.planned.refuse_other()
    except BadInput:
        return False
    return job.store.exists(PLAN_KEY)


def pilot(job: StudyJob) -> StudyJob:
    """The baseline alone with the first seeds, as a part of the planned study.

    Raises:
        BadInput: the study has begun, or has nothing to compare.
    """
    if len(job.config.arms) == 1:
        raise BadInput("--plan: this study has one arm, so it compares nothing; take a recipe with more, as standard")
    if job.store.exists(PLAN_KEY) and not is_planned(job):
        raise BadInput(f"--plan: the study at {job.store.uri} has begun; a plan comes before it, in another --out")
    arms = tuple(arm for arm in job.config.arms if arm.name == BASELINE)
    config = job.config.model_copy(update={"arms": arms, "seeds": job.config.seeds[:PILOT]})
    draws = {trial: drawn for trial, drawn in job.draws.items() if trial in {(BASELINE, seed) for seed in config.seeds}}
    return replace(job, recipe=job.planned.recipe, config=config, draws=draws)


def trial_specs(job: StudyJob, place: np.ndarray) -> list[TrialSpec]:
    """Every trial.

    Args:
        place: int64, of each row where its picture is among those in memory.
    """
    config, classifier, found = job.config, job.config.classifier, []
    baseline = classifier.steps(int((job.sets.split == "train").sum()))
    for arm in config.arms:
        sides = len(job.sets.sides_of(arm.name)) if arm.synthetic else 1
        for number, seed in enumerate(config.seeds):
            drawn = job.draws[arm.name, seed]
            parts = drawn.phases(arm, classifier.steps, baseline if config.budget == "steps" else None)
            phases = [(place[rows], steps) for rows, steps in parts]
            shuffled = place[drawn.synthetic] if arm.shuffled else None
            counts = len(drawn.real), len(drawn.synthetic)
            found.append(TrialSpec(arm.name, seed, phases, *counts, shuffled, number % sides))
    return found


def pending_trials(job: StudyJob, threads: int) -> list[TrialWorker]:
    """The trials that have no result yet, to be called with the pictures of `job.used` and `labels`."""
    place = np.full(len(job.sets.labels), -1)
    place[job.used] = np.arange(len(job.used))
    done = {(trial.arm, trial.seed) for trial in read_trials(job)}
    parts = {"validation": place[job.sets.part("validation")], "test": place[job.sets.part("test")]}
    return [
        TrialWorker(job.store, job.digest, spec, len(job.sets.classes), **parts, config=job.config.classifier,
            operating_point=job.config.operating_point, optimism=job.config.selection_bias, threads=threads,
            external={name: place[job.sets.part(external_name(name))] for name in job.sets.external})
        for spec in trial_specs(job, place) if (spec.arm, spec.seed) not in done
    ]  # fmt: skip


def read_trials(job: StudyJob) -> list[Trial]:
    """What trials have left, in the order of arms and seeds."""
    found = (read_trial(job.store, trial_key(arm, seed), job.digest, job.planned.digest) for arm, seed in job.draws)
    return [trial for trial in found if trial is not None]
