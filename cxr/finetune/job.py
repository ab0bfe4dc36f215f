"""What is fixed before the first step: weights, plan, recipe; and how far a fine-tuning is."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Artifact, read_record
from cxr.artifact.keys import CHECKPOINTS
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.data.catalog import CatalogSet, list_rows
from cxr.data.labels import shown_findings
from cxr.data.lineage import PHANTOM, Lineage, hashed_id, merge_lineages, pseudonymise, warn_of_hashed_ids
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import attach_lists_beside, find_shown, read_lists
from cxr.diffusion.family import check_networks, check_solver, family_of
from cxr.diffusion.lora_files import check_values
from cxr.errors import BadInput
from cxr.finetune.captions import Row, select_findings, write_captions
from cxr.finetune.checkpoints import read_manifest
from cxr.finetune.config import (
    FEWEST_FOR_KID,
    FinetuneConfig,
    check_batch,
    check_distillation,
    count_units,
    identity,
    total_steps,
)
from cxr.finetune.part import Names, leave_out_canaries, patients_digest, select_patients
from cxr.finetune.privacy import METRIC as PRIVACY
from cxr.finetune.privacy import OPTION, PatientDraws, Privacy, check_private, plan_privacy, warn_of_noise
from cxr.finetune.runs import FINAL, PLAN, RESULTS, TRAJECTORIES, read_result, rows_of_run
from cxr.prompts.lists import UNLABELLED
from cxr.store import Store, open_store
from cxr.weights import Weights, resolve, resolve_lora


@dataclass(frozen=True)
class FinetuneJob(Artifact):
    """All that is fixed before the first step."""

    kind = FINE_TUNED_MODEL
    scratch = (CHECKPOINTS, RESULTS, TRAJECTORIES)

    data: CatalogSet
    config: FinetuneConfig
    model: Weights
    plan: pa.Table  # of schema PLAN
    privacy: Privacy | None  # None: the training promises none
    lora: Weights | None = None  # of a distillation, on the model

    @property
    def bases(self) -> list[Weights]:
        """What it begins with."""
        return [self.model, *([self.lora] if self.lora else [])]

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
    check_distillation(config)
    rows = select_findings(select_patients(list_rows(data.table), config, names), config.finding)
    if config.canaries:
        rows = leave_out_canaries(rows, config)
    trained = [row for row in rows if row["split"] == "train"]
    check_private(config, trained)
    captions = write_captions(rows, data.vocabulary.findings, config, note)
    plan = make_plan(rows, captions, data.store.uri, config.folds)
    model, lora = resolve(config.model), resolve_lora(config.lora) if config.lora else None
    check_networks(model)
    warn_of_other_findings(lora or model, trained, note)
    refuse_distilled(model, lora)
    family = family_of(model.path)
    for line in check_values(family.read_lora(model.path, lora.path)) if lora else ():
        note(line)
    family.check_size(model.path, config.size)
    family.check_method(config)
    if config.distills:
        check_solver(model.path, config.sampler.solver, f"--method {config.method}")
    if longer := family.count_too_long(model.path, plan["caption"].to_pylist()):
        note(f"{longer} of {len(plan)} captions are longer than the text encoder reads; their ends have no effect")
    recipe = identity(config, model.digest, data.digest, lora.digest if lora else None) | (
        patients_digest(names) if names else {}
    )
    privacy = plan_privacy(config, len({row["patient_id"] for row in trained})) if config.epsilon else None
    job = FinetuneJob(store, recipe, data, config, model, plan, privacy, lora)
    job.refuse_other()
    if config.distills and promise_of_base(job) and set(data.sources) != {PHANTOM}:
        note(
            "the base promises its patients differential privacy, and the distilled model will not: captions of this "
            "set may be of patients; give --data a set of phantoms to keep the promise"
        )
    if privacy:
        refuse_known_patients(job)
        warn_of_noise(privacy, note)
    for run in job.runs:
        train_rows, validation_rows = rows_of_run(plan, run, config.folds)
        check_batch(config, count_units(config, len(train_rows)))
        if not len(validation_rows):
            raise BadInput(f"{data.store.uri}: no validation picture of these findings; split the set anew")
        if config.select == "kid" and min(len(validation_rows), config.validation_images) < FEWEST_FOR_KID:
            raise BadInput(f"--select kid: needs {FEWEST_FOR_KID} validation pictures, {run} has one; choose another")
    collect_lineage(job)  # now, because a key that cannot be had would be missed when all is trained
    for part in job.bases:
        warn_of_hashed_ids(part.place, part.lineage)
    return job


def refuse_distilled(*bases: Weights | None) -> None:
    """`BadInput` where a base was distilled: training on pictures undoes that, and it is no teacher of many steps."""
    for base in bases:
        if base and base.few_steps:
            raise BadInput(
                f"{base.spec}: was distilled to {base.few_steps.steps} steps, which a further training undoes; give "
                "the model that it was distilled from, and distil last"
            )


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


def promise_of_base(job: FinetuneJob) -> dict[str, Any] | None:
    """Differential privacy, as the record of what was trained last has it."""
    record = read_record(open_store(job.bases[-1].place))
    return record.metrics.get(PRIVACY) if record else None


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
    """Whom the model is trained on or chosen by, and whom its base was; of a distillation also those whose captions
    alone it has. Raises as `owner_key`."""
    if any(base.lineage is None for base in job.bases):
        return None
    bases = (attach_lists_beside(base.place, base.lineage) for base in job.bases)
    return merge_lineages(*bases, (pseudonymise(plain_names(job), owner_key()),))


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
    return total_steps(job.config, count_units(job.config, len(rows_of_run(job.plan, run, job.config.folds)[0])))


def steps_done(job: FinetuneJob, run: str) -> int:
    """How many of them need not be done again."""
    result = read_result(job.store, run)
    return int(result.history[-1]["step"]) if result else read_manifest(job.store, run).step
