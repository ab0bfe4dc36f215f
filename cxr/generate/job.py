"""What `jobs/generate.py` is made of, without Ray: from the command's words to a plan, and what its workers run."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.artifact import Artifact, Record, listed_units, unit_key
from cxr.artifact.keys import COMMITS, PLAN_KEY
from cxr.artifact.kinds import GENERATED_IMAGES
from cxr.artifact.metrics import FilterMetrics, LabelMetrics
from cxr.data.candidates import VERDICTS
from cxr.data.catalog import CatalogSet
from cxr.data.labels import LISTS, content_of
from cxr.data.lineage import (
    LINEAGE,
    SET_SOURCES,
    Lineage,
    describe_patients,
    hashed_id,
    merge_lineages,
    merge_sources,
    pseudonymise,
    record_lineage,
    warn_of_hashed_ids,
)
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import attach_lists_beside, save_for_owner
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.family import check_networks, check_solver, family_of
from cxr.diffusion.lora_files import check_values
from cxr.errors import BadInput
from cxr.generate.asked import AskedRows, ask_for_findings, ask_like, describe_untrained
from cxr.generate.config import TINY_SIZE, GenerateConfig, Layout, identity
from cxr.generate.few_steps import match_sampler
from cxr.generate.filtered import sweep_refused
from cxr.generate.finish import MeasureDiversity, describe_training, finish, finish_filtered
from cxr.generate.like import LikeSet
from cxr.generate.plan import Plan, PlanReader, with_metadata, write_plan
from cxr.generate.writer import FAILED, SHARDS, store_failure, store_unit
from cxr.prompts.lists import PromptRow
from cxr.prompts.words import Content
from cxr.store import Store, sha256
from cxr.weights import Weights, resolve, resolve_lora


@dataclass(frozen=True)
class GenerateJob(Artifact):
    """All that is fixed before the first picture."""

    kind = GENERATED_IMAGES
    scratch = (COMMITS, FAILED, VERDICTS)

    config: GenerateConfig
    model: Weights
    lora: Weights | None
    plan: Plan
    applied: dict[str, Any] | None = None  # what of the model the LoRA changes, as `Lora.summary`
    like: str | None = None  # digest of the set that it is to be like
    judge: CatalogSet | None = None  # the real pictures that its own are judged by; None: all that are made are in it

    def _sweep(self) -> None:
        super()._sweep()
        if self.judge is not None:
            sweep_refused(self.store)

    @property
    def inputs(self) -> dict[str, str]:
        return {
            **self.model.as_input("model"),
            "plan": self.plan.digest,
            **({"lora": self.lora.digest} if self.lora else {}),
            **({"like": self.like} if self.like else {}),
            **({"judge": self.judge.digest} if self.judge else {}),
        }


def prepare(
    store: Store,
    config: GenerateConfig,
    asked: Iterable[PromptRow] | LikeSet | None,
    folder: Path,
    note: Callable[[str], None],
    judge: CatalogSet | None = None,
    extractor: str = "",
    usual: SamplerConfig | None = None,
) -> GenerateJob:
    """Resolves the weights and writes the plan of what is asked to `folder`; nothing goes to the store yet.

    Args:
        asked: the user's own prompts, a set to be like, or None for the findings of the config.
        note: called with what the user should know.
        judge: the real pictures that generated ones are judged by, where they are filtered.
        extractor: digest of the network that measures their realism.
        usual: settings that nobody has chosen; a distilled model's own take their place.

    Raises:
        BadInput: model, prompts or place cannot be used.
    """
    model, lora = resolve(config.model), resolve_lora(config.lora) if config.lora else None
    check_networks(model)
    family = family_of(model.path)
    changed = family.read_lora(model.path, lora.path) if lora else None
    sampler, notes = match_sampler(config.sampler, usual, model, lora)
    config = config.model_copy(update={"sampler": sampler})
    check_solver(model.path, sampler.solver, f"--solver {sampler.solver}")
    notes += check_values(changed) if changed else []  # shown once nothing is wrong: bad input gets one line
    size, trained = config.sampler.size, lora or model
    if model.source == trained.source == "embedded" and size != TINY_SIZE:
        notes.append(f"--size {size}: tiny was trained at {TINY_SIZE} px, and at another size it draws no whole chests")
    if asked is None:
        asked_rows = ask_for_findings(config, trained, notes.append)
    elif isinstance(asked, LikeSet):
        asked_rows = ask_like(asked, config, trained, notes.append)
    else:
        asked_rows = AskedRows(asked)
    sampler_digest = sha256(json.dumps([model.digest, lora and lora.digest, config.sampler.model_dump()]).encode())
    plan = write_plan(folder / PLAN_KEY, asked_rows.rows, config, sampler_digest, asked_rows.vocabulary)
    if too_long := family.count_too_long(model.path, planned_prompts(plan)):
        notes.append(f"{too_long} of {plan.images} prompts are longer than the text encoder reads; their ends are lost")
    if line := describe_untrained(planned_contents(plan), plan.findings, trained):
        notes.append(line)
    judged_by = {"real": judge.digest, "extractor": extractor} if judge else None
    recipe = identity(config, model.digest, lora.digest if lora else None, plan.digest, judged_by)
    like = asked.data.digest if isinstance(asked, LikeSet) else None
    job = GenerateJob(store, recipe, config, model, lora, plan, changed.summary if changed else None, like, judge)
    job.refuse_other()
    for line in notes:
        note(line)
    collect_lineage(job)  # now, because a key that cannot be had would be missed when all is made
    for part in parts_of(job):
        warn_of_hashed_ids(part.place, part.lineage)
    return job


def collect_lineage(job: GenerateJob) -> Lineage:
    """Whom model and LoRA were shown, with the lists beside them, and by whose pictures a set is chosen. Raises as
    `lineage.merge_lineages`."""
    shown = [attach_lists_beside(part.place, part.lineage) for part in parts_of(job)]
    if job.judge is not None and SET_SOURCES not in job.judge.record.metrics:  # else of no patients
        rows = job.judge.table.select(["patient_id", "image_id"]).to_pylist()
        shown.append((pseudonymise({hashed_id(row["patient_id"], row["image_id"]) for row in rows}, owner_key()),))
    return merge_lineages(*shown)


def parts_of(job: GenerateJob) -> list[Weights]:
    """The weights that the pictures are made with."""
    return [job.model, *([job.lora] if job.lora else [])]


def planned_prompts(plan: Plan) -> Iterator[str]:
    for batch in pq.ParquetFile(plan.path).iter_batches(1024, columns=["prompt"]):
        yield from batch["prompt"].to_pylist()


def planned_contents(plan: Plan) -> Iterator[tuple[str, Content]]:
    """Prompt and content of every picture."""
    for batch in pq.ParquetFile(plan.path).iter_batches(1024, columns=["prompt", *LISTS, "view", "sex", "age"]):
        for row in batch.to_pylist():
            yield row["prompt"], content_of(row, plan.vocabulary.findings)


@dataclass(frozen=True)
class State:
    """How far a job is."""

    pending: pa.Array  # int32 numbers of the units to make, ascending
    failed: set[int]  # given up earlier
    stored: set[int]
    stored_images: int


def begin(job: GenerateJob, retry_failed: bool) -> State:
    """Writes the plan, if it is not there, and finds out what is left to do."""
    job.begin(with_metadata(job.plan, job.recipe))
    failed = set(listed_units(job.store, FAILED))
    if retry_failed:
        job.store.delete(unit_key(FAILED, unit) for unit in failed)
        failed = set()
    stored = set(listed_units(job.store, SHARDS if job.config.layout == "shards" else COMMITS))
    settled = stored | failed
    pending = pa.array((unit for unit in range(job.plan.units) if unit not in settled), pa.int32())
    last = job.plan.units - 1 in stored  # the one that may be short
    short = job.plan.units * job.config.unit_images - job.plan.images
    return State(pending, failed - stored, stored, len(stored) * job.config.unit_images - (short if last else 0))


def complete(
    job: GenerateJob, device: str, timings: dict[str, float], measure: MeasureDiversity = lambda *found: {}
) -> Record:
    """Writes what belongs beside the pictures; returns the record.

    Args:
        measure: what filtering costs in diversity, where pictures are filtered.
    """
    seen, sources = collect_lineage(job), merge_sources(*(part.sources for part in parts_of(job)))
    save_for_owner(seen)
    about = describe_patients(sources, seen)
    applied = {"lora": job.applied} if job.applied else {}
    learned = describe_training(job.model, job.lora)
    told = job.store, job.config, job.plan, job.model.source, job.model.licence, about, learned
    findings, chosen = job.plan.findings, None
    if job.judge is None:
        pictures, objects = finish(*told)
    else:
        pictures, objects, chosen = finish_filtered(*told, job.judge.digest, measure)
        findings = chosen.accepted
    objects.append(job.store.read_back(PLAN_KEY))
    vocabulary = job.plan.vocabulary
    labels = LabelMetrics(vocabulary=list(vocabulary.findings), exclusive=vocabulary.exclusive)
    return job.new_record(
        pictures, objects, inputs=job.inputs, seeds={"seed": job.config.seed}, device=device, timings=timings,
        metrics={
            "findings": findings, **labels.write(), LINEAGE: record_lineage(seen), SET_SOURCES: sources, **applied,
            **(FilterMetrics(filter=chosen).write() if chosen else {}),
        },
    )  # fmt: skip


@dataclass(frozen=True)
class GeneratorFactory:
    """Travels to an actor and builds the maker there: places and settings, no weights."""

    store: Store
    config: GenerateConfig
    model_digest: str
    lora_digest: str | None = None

    def __call__(self) -> "UnitGenerator":
        return UnitGenerator(self)


class UnitGenerator:
    """In an actor: reads the plan from the store and samples its units."""

    def __init__(self, order: GeneratorFactory) -> None:
        from cxr.diffusion.sampler import Sampler

        model = resolve(order.config.model)
        if model.digest != order.model_digest:
            raise BadInput(f"--model {order.config.model}: this machine has other weights of that name than the driver")
        lora = resolve_lora(order.config.lora) if order.config.lora else None
        if lora and lora.digest != order.lora_digest:
            raise BadInput(f"--lora {order.config.lora}: this machine has another LoRA of that name than the driver")
        self.folder = tempfile.TemporaryDirectory()
        plan = Path(self.folder.name, PLAN_KEY)
        plan.write_bytes(order.store.get(PLAN_KEY))
        self.reader = PlanReader(plan, order.config.unit_images)
        self.sampler = Sampler.load(model.path, lora.path if lora else None, order.config.sampler)

    def rows(self, unit: int) -> list[dict[str, Any]]:
        return self.reader.rows(unit)

    def make(self, rows: list[dict[str, Any]]) -> np.ndarray:
        import torch

        try:
            return self.sampler(*([row[name] for row in rows] for name in ("prompt", "negative_prompt", "seed")))
        except torch.OutOfMemoryError:
            config = self.sampler.config
            raise BadInput(
                f"out of GPU memory at {config.batch} pictures of {config.size} pixels; choose another --out and lower "
                "--batch, then --size"
            ) from None


@dataclass(frozen=True)
class UnitWriter:
    """Travels to the storing stage."""

    store: Store
    layout: Layout
    provenance: str  # JSON: what every picture's file says of its making

    def __call__(self, unit: int, rows: list[dict[str, Any]], pictures: np.ndarray | None, error: str) -> int:
        if pictures is None:
            store_failure(self.store, unit, rows, error)
            return 0
        return store_unit(self.store, self.layout, unit, rows, pictures, self.provenance)


def provenance(job: GenerateJob) -> str:
    return json.dumps({"model": job.model.digest, "lora": job.lora and job.lora.digest,
                       "sampler": job.config.sampler.model_dump(), "recipe_digest": job.digest})  # fmt: skip
