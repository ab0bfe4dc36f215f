"""What is fixed before the first step: weights, plan, recipe; and how far a fine-tuning is."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Artifact
from cxr.artifact.keys import CHECKPOINTS
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.data.catalog import CatalogSet, list_rows
from cxr.data.labels import shown_findings
from cxr.data.lineage import Lineage, hashed_id, merge_lineages, pseudonymise, warn_of_hashed_ids
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import attach_lists_beside, find_shown, read_lists
from cxr.diffusion.family import check_networks, family_of
from cxr.errors import BadInput
from cxr.finetune.captions import Row, select_findings, write_captions
from cxr.finetune.checkpoints import read_manifest
from cxr.finetune.config import FEWEST_FOR_KID, FinetuneConfig, check_batch, identity, total_steps
from cxr.finetune.part import Names, leave_out_canaries, patients_digest, select_patients
from cxr.finetune.privacy import OPTION, PatientDraws, Privacy, check_private, plan_privacy, warn_of_noise
from cxr.finetune.runs import FINAL, PLAN, RESULTS, read_result, rows_of_run
from cxr.prompts.lists import UNLABELLED
from cxr.store import Store, open_store
from cxr.weights import Weights, resolve


@dataclass(frozen=True)
class FinetuneJob(Artifact):
    """All that is fixed before the first step."""

    kind = FINE_TUNED_MODEL
    scratch = (CHECKPOINTS, RESULTS)

    data: CatalogSet
    config: FinetuneConfig
    model: Weights
    plan: pa.Table  # of schema PLAN
    privacy: Privacy | None  # None: the training promises none

    @property
    def runs(self) -> list[str]:
        """The folds, if there are any, and the final one."""
        folds = self.config.folds if self.config.folds > 1 else 0
        return [*(f"fold{number}" for number in range(1, folds + 1)), FINAL]


def prepare(
    store: Store, data: CatalogSet, config: FinetuneConfig, note: Callable[[str], None], names: Names = None
) -> FinetuneJob:
    """Resolves the weights and draws up the plan, see `select_patients` for `names`; nothing goes to the store yet.

    Raises:
        BadInput: set, model or place cannot be used.
    """
    rows = select_findings(select_patients(list_rows(data.table), config, names), config.finding)
    if config.canaries:
        rows = leave_out_canaries(rows, config)
    trained = [row for row in rows if row["split"] == "train"]
    check_private(config, trained)
    captions = write_captions(rows, data.vocabulary.findings, config, note)
    plan = make_plan(rows, captions, data.store.uri, config.folds)
    model = resolve(config.model)
    check_networks(model)
    warn_of_other_findings(model, trained, note)
    family = family_of(model.path)
    family.check_size(model.path, config.size)
    family.check_method(config)
    if longer := family.count_too_long(model.path, plan["caption"].to_pylist()):
        note(f"{longer} of {len(plan)} captions are longer than the text encoder reads; their ends have no effect")
    recipe = identity(config, model.digest, data.digest) | (patients_digest(names) if names else {})
    privacy = plan_privacy(config, len({row["patient_id"] for row in trained})) if config.epsilon else None
    job = FinetuneJob(store, recipe, data, config, model, plan, privacy)
    job.refuse_other()
    if privacy:
        refuse_known_patients(job)
        warn_of_noise(privacy, note)
    for run in job.runs:
        train_rows, validation_rows = rows_of_run(plan, run, config.folds)
        check_batch(config, len(train_rows))
        if not len(validation_rows):
            raise BadInput(f"{data.store.uri}: no validation picture of these findings; split the set anew")
        if config.select == "kid" and min(len(validation_rows), config.validation_images) < FEWEST_FOR_KID:
            raise BadInput(f"--select kid: needs {FEWEST_FOR_KID} validation pictures, {run} has one; choose another")
    collect_lineage(job)  # now, because a key that cannot be had would be missed when all is trained
    warn_of_hashed_ids(model.place, model.lineage)
    return job


def warn_of_other_findings(model: Weights, trained: Sequence[Row], note: Callable[[str], None]) -> None:
    """Notes in which findings the base's training and this one differ; nothing where no record tells of the base's.

    Args:
        trained: rows of the catalog.
    """
    if model.trained is None:
        return
    known, shown = {*model.trained.prompts}, {name for row in trained for name in shown_findings(row)} - {UNLABELLED}
    new, left = (", ".join(sorted(names)) for names in (shown - known, known - shown))
    parts = [f"{new} of this set it has to learn here"] if new else []
    parts += [f"{left} it is not shown again, and may forget"] if left else []
    if parts:
        note(f"{model.spec} was trained on {', '.join(sorted(known))}: {'; '.join(parts)}")


def refuse_known_patients(job: FinetuneJob) -> None:
    """`BadInput` if the base is known to have seen patients whom privacy is promised to."""
    if not job.model.lineage:
        return
    shown = find_shown(job.model.lineage, job.data.table, read_lists(open_store(job.model.place)))
    if shown is not None and (shown & pc.equal(job.data.table["split"], "train").to_numpy()).any():
        raise BadInput(
            f"{OPTION} with --model {job.config.model}: it was trained on patients of this set already, without the "
            "promise; give a base that was not"
        )


def draw_patients(job: FinetuneJob) -> PatientDraws | None:
    """Who takes part in a private training's steps; None for any other. Raises as `owner_key`."""
    if job.privacy is None:
        return None
    trained, _ = rows_of_run(job.plan, FINAL, job.config.folds)
    patients = dict(zip(*(job.data.table[name].to_pylist() for name in ("image_id", "patient_id")), strict=True))
    _, owners = np.unique([patients[image] for image in trained["image_id"].to_pylist()], return_inverse=True)
    recipe = json.dumps(job.recipe, sort_keys=True)  # so that no two trainings have the same noise
    return PatientDraws(job.privacy, owners, owner_key().secret_seed("private training", recipe))


def collect_lineage(job: FinetuneJob) -> Lineage:
    """Whom the model is trained on or chosen by, and whom its base was. Raises as `owner_key`."""
    if job.model.lineage is None:
        return None
    base = attach_lists_beside(job.model.place, job.model.lineage)
    return merge_lineages(base, (pseudonymise(plain_names(job), owner_key()),))


def plain_names(job: FinetuneJob) -> set[str]:
    """Of the patients whom the model is trained on or chosen by, see `hashed_id`; never stored."""
    used = job.plan.filter(pc.is_in(job.plan["split"], pa.array(["train", "validation"])))["image_id"]
    rows = job.data.table.filter(pc.is_in(job.data.table["image_id"], used.combine_chunks()))
    return set(map(hashed_id, rows["patient_id"].to_pylist(), rows["image_id"].to_pylist()))


def make_plan(rows: Sequence[Row], captions: Sequence[str], uri: str, folds: int) -> pa.Table:
    """The plan's rows in the catalog's order."""
    if any(row["split"] is None for row in rows):
        raise BadInput(f"{uri}: its pictures are not split into train, validation and test; jobs/ingest.py does that")
    count = 1 + max((row["fold"] for row in rows if row["fold"] is not None), default=-1)
    if folds > max(count, 1):
        raise BadInput(f"--folds {folds}: the set has {count} folds; give fewer, or ingest it with --folds {folds}")
    columns = {name: [row[name] for row in rows] for name in PLAN.names if name != "caption"}
    return pa.table({**columns, "caption": captions}, schema=PLAN)


def count_steps(job: FinetuneJob, run: str) -> int:
    """How many steps the run has."""
    if job.privacy:
        return job.privacy.steps
    return total_steps(job.config, len(rows_of_run(job.plan, run, job.config.folds)[0]))


def steps_done(job: FinetuneJob, run: str) -> int:
    """How many of them need not be done again."""
    result = read_result(job.store, run)
    return int(result.history[-1]["step"]) if result else read_manifest(job.store, run).step
