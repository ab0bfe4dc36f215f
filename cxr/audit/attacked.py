"""The fine-tuned model that is attacked: its weights, its base's, and the pictures and captions of its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Record, read_record
from cxr.artifact.keys import PLAN_KEY
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.artifact.metrics import ModelMetrics, Promise
from cxr.audit.membership import pair_patients
from cxr.audit.sets import patient_strata, why_untestable
from cxr.data.canaries import LEFT_OUT, draw_canaries
from cxr.data.catalog import CatalogSet
from cxr.data.lineage import read_lineage
from cxr.data.lineage_key import VARIABLE, find_owner_key
from cxr.data.lineage_lists import PatientLists, find_shown
from cxr.diffusion.config import SamplerConfig, is_lora
from cxr.diffusion.family import check_networks
from cxr.errors import BadInput
from cxr.store import Store, open_store, read_parquet, sha256
from cxr.weights import Weights, resolve, resolve_lora

TINY = "tiny"  # the base where none is named


@dataclass(frozen=True)
class AttackedModel:
    """All that the attack reads, but pictures."""

    base: Weights
    tuned: Weights  # a LoRA's file or a whole model's folder
    sampler: SamplerConfig  # as its training sampled it, at the size that it was trained at
    rows: (
        pa.Table
    )  # of the real set's catalog, with `caption`; `split` is as the training had it: train, test, left out
    canaries: Mapping[str, bool]  # patients of whom a coin left each in or out, and whether it did; of few models
    promise: Promise | None  # of differential privacy; of few models


@dataclass(frozen=True)
class PatientPictures:
    """Pictures of patients of whom some were trained on."""

    rows: pa.Table  # as in `AttackedModel`
    owners: np.ndarray  # int [N], the patient of each
    member: np.ndarray  # bool [P], a training patient


@dataclass(frozen=True)
class PairedPictures(PatientPictures):
    """Of pairs of patients: a training patient, and a test patient with the same finding and view."""

    strata: np.ndarray  # str [P]


@dataclass(frozen=True)
class ExtractionTargets:
    """A picture each of canaries, and of test patients who are like one of them in finding and view."""

    rows: pa.Table  # as in `AttackedModel`
    canary: np.ndarray  # bool [P]
    kept: np.ndarray  # bool [P], a canary who was left in


def find_attacked(
    place: str | None, base: str | None, real: CatalogSet, synthetic: CatalogSet, lists: PatientLists
) -> AttackedModel | str:
    """The model at the place, or why no attack on it can be made.

    Args:
        place: as the option --model has it, which may name several.
        base: as the option --base has it; None: the embedded model.
        lists: of the place.

    Raises:
        BadInput: the synthetic set was made with another model, the base is not the one that was fine-tuned, or
            weights are damaged.
    """
    if place is None:
        return "no model was given (--model)"
    if "," in place:
        return "several models were given; give --model the one that was fine-tuned last"
    store = open_store(place)
    record = read_record(store)
    if record is None or record.kind != FINE_TUNED_MODEL:
        return "what --model gives was not fine-tuned by cxr finetune"
    if few := ModelMetrics.read(record).few_steps:
        return (
            f"the model was distilled to {few.steps} steps, from another model and captions, so that its errors at "
            "pictures tell nothing of its training; audit with --model the one that it was distilled from"
        )
    if reason := why_untestable(real):
        return reason
    if record.inputs.get("data") != real.digest:
        return "the model was fine-tuned on another set than --real, with other pictures, sizes or findings"
    lineage = read_lineage(record.metrics)
    if lineage is None:
        return (
            "nobody knows whom its base was trained on, because that has no record; fine-tune from an alias (tiny, "
            "sd15, sdxl and the others of docs/models.md), or from a model that cxr made"
        )
    shown = find_shown(lineage, real.table, lists)
    if shown is None:
        return f"the list of whom the model was trained on was written under a key that is not here ({VARIABLE})"
    tuned = resolve_lora(place) if is_lora(record.recipe["method"]) else resolve(place)
    used = {synthetic.record.inputs[name] for name in ("model", "lora") if name in synthetic.record.inputs}
    if used and tuned.digest not in used:
        raise BadInput(f"--model {place}: --synthetic was made with another model; give the one that it was made with")
    if not is_lora(record.recipe["method"]):
        check_networks(tuned)
    whole = find_base(base, record)
    if isinstance(whole, str):
        return whole
    before = find_shown(whole.lineage, real.table, lists) if whole.lineage else np.zeros(len(real.table), bool)
    if before is None or before.any():
        return "its base was trained on patients of --real too, or on some who are not known, so it is no reference"
    rows = read_rows(store, record, real, shown)
    if not {*rows["split"].to_pylist()} >= {"train", "test"}:
        return "the model was not trained on a patient whose name is known, or there is no test patient of its findings"
    canaries, promise = find_canaries(rows, record.recipe), ModelMetrics.read(record).privacy
    return AttackedModel(whole, tuned, read_sampler(record.recipe), rows, canaries, promise)


def read_sampler(recipe: Mapping[str, Any]) -> SamplerConfig:
    """Of a training's recipe."""
    return SamplerConfig(size=recipe["size"], steps=recipe["sampling_steps"], guidance=recipe["guidance"])


def find_base(spec: str | None, record: Record) -> Weights | str:
    """The base that the record names, or why it is not at hand. Raises `BadInput` if `spec` is another one."""
    base, wanted = resolve(spec or TINY), record.inputs["model"]
    if base.digest != wanted:
        if spec is None:
            return f"the model was fine-tuned from another base than {TINY} (digest {wanted[:16]}); give it with --base"
        raise BadInput(f"--base {spec}: --model was fine-tuned from another one (digest {wanted[:16]}); give that one")
    check_networks(base)
    return base


def read_rows(store: Store, record: Record, real: CatalogSet, shown: np.ndarray) -> pa.Table:
    """The real set's rows that the model was trained on, and test rows of the same findings, of known patients.

    Raises:
        BadInput: the plan of the training is not the one that the record names.
    """
    wanted = {stored.key: stored.sha256 for stored in record.objects}.get(PLAN_KEY)
    try:
        data = store.get(PLAN_KEY)
    except KeyError:
        data = b""
    if sha256(data) != wanted:
        raise BadInput(f"--model {store.uri}: {PLAN_KEY} is missing or damaged; restore it")
    plan = {row["image_id"]: row for row in read_parquet(data).to_pylist()}
    table = real.table
    planned = [plan.get(image_id, {}) for image_id in table["image_id"].to_pylist()]
    parts = np.array([row.get("split") or "" for row in planned])
    table = table.set_column(table.schema.get_field_index("split"), "split", pa.array(parts.tolist(), pa.string()))
    table = table.append_column("caption", pa.array([row.get("caption") for row in planned], pa.string()))
    known = table["patient_id"].is_valid().to_numpy()
    seen = ((parts == "train") & shown) | (((parts == "test") | (parts == LEFT_OUT)) & ~shown)
    return table.filter(pa.array(known & seen))


def find_canaries(rows: pa.Table, recipe: Mapping[str, Any]) -> Mapping[str, bool]:
    """The canaries of a training with this recipe, by the owner's key, which tosses its coins again; none where it had
    none.

    Args:
        rows: as in `AttackedModel`.

    Raises:
        BadInput: others were left out than the coins say.
    """
    key = find_owner_key()
    if key is None or not recipe.get("canaries"):
        return {}
    patients: dict[str, set[str]] = {"train": set(), "test": set(), LEFT_OUT: set()}
    for patient, part in zip(rows["patient_id"].to_pylist(), rows["split"].to_pylist(), strict=True):
        patients[part].add(patient)
    drawn = draw_canaries(patients["train"] | patients[LEFT_OUT], recipe["canaries"], recipe["seed"], key)
    if {patient for patient, kept in drawn.items() if not kept} != patients[LEFT_OUT]:
        raise BadInput(f"--model: its {PLAN_KEY} leaves out other canaries than recipe and key draw; restore it")
    return drawn


def choose_canaries(model: AttackedModel) -> PatientPictures:
    """All pictures of the canaries."""
    patients = sorted(model.canaries)
    rows = model.rows.filter(pc.is_in(model.rows["patient_id"], pa.array(patients, pa.string())))
    place = {patient: number for number, patient in enumerate(patients)}
    owners = np.array([place[patient] for patient in rows["patient_id"].to_pylist()], int)
    return PatientPictures(rows, owners, np.array([model.canaries[patient] for patient in patients], bool))


def choose_targets(model: AttackedModel, most: int, rng: np.random.Generator) -> ExtractionTargets:
    """All canaries and at most so many test patients; a patient's picture is drawn, so that all have one chance."""
    patients, strata = np.array(model.rows["patient_id"].to_pylist()), patient_strata(model.rows)
    canary = np.isin(patients, list(model.canaries))
    test = pc.equal(model.rows["split"], "test").to_numpy() & np.isin(strata, strata[canary])

    def draw_rows(side: np.ndarray) -> np.ndarray:
        order = rng.permutation(np.flatnonzero(side))
        return order[np.sort(np.unique(patients[order], return_index=True)[1])]

    rows = np.concatenate([draw_rows(canary), draw_rows(test)[:most]])
    kept = [model.canaries.get(patient, False) for patient in patients[rows]]
    return ExtractionTargets(model.rows.take(pa.array(rows)), canary[rows], np.array(kept, bool))


def choose_pairs(rows: pa.Table, most: int, rng: np.random.Generator) -> PairedPictures:
    """All pictures of at most so many pairs of patients, drawn; none where no two are alike.

    Args:
        rows: as in `AttackedModel`.
    """
    rows = rows.filter(pc.is_in(rows["split"], pa.array(["train", "test"])))
    patients, first, owners = np.unique(rows["patient_id"].to_pylist(), return_index=True, return_inverse=True)
    trained = pc.equal(rows["split"], "train").to_numpy()[first]
    strata = patient_strata(rows)[first]
    pairs = np.sort(pair_patients(trained, strata, most, rng).ravel())
    place = np.full(len(patients), -1)
    place[pairs] = np.arange(len(pairs))
    kept = place[owners] >= 0
    return PairedPictures(rows.filter(pa.array(kept)), place[owners][kept], trained[pairs], strata[pairs])
