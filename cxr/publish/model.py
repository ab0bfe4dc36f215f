"""A fine-tuned model handed on: its weights and a card. Samples, plan, history and the list of its patients stay."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cxr.artifact import Artifact, Made, Record
from cxr.artifact.keys import CARD_KEY, PLAN_KEY
from cxr.artifact.kinds import FINE_TUNED_MODEL, PUBLISHED_MODEL
from cxr.artifact.metrics import UNTESTED, AuditMetrics, ModelMetrics, SourceMetrics
from cxr.artifact.public_text import names_place, without_place
from cxr.data.lineage import UNKNOWN_SOURCE, phantom_notice
from cxr.diffusion.config import is_lora
from cxr.errors import BadInput
from cxr.publish.card import NO_PROMISE, audit_table, public_lines
from cxr.publish.public import require_finished_audit, require_passed
from cxr.report.limits import unaudited
from cxr.report.pages import render
from cxr.store import Store, StoredObject, digest_of, sha256
from cxr.weights.files import MODEL, is_wanted
from cxr.weights.kinds import KOHYA_FILE, LORA_FILE, read_header


@dataclass(frozen=True)
class PublishModelJob(Artifact):
    """All that is fixed before the first file is copied."""

    kind = PUBLISHED_MODEL
    scratch = (PLAN_KEY,)

    source: Store
    record: Record  # of the model
    files: tuple[StoredObject, ...]  # what is loaded of it
    audit: AuditMetrics | None  # None: it is published as unaudited
    licence: str | None

    @property
    def is_lora(self) -> bool:
        return is_lora(self.record.recipe.get("method", ""))


def find_files(uri: str, record: Record) -> tuple[StoredObject, ...]:
    """The weights of a fine-tuned model: a LoRA in the formats it has, or all parts of a whole model.

    Raises:
        BadInput: its record does not name them.
    """
    if record.kind != FINE_TUNED_MODEL:
        raise BadInput(f"{uri}: holds {record.kind}; give a set, or a model that jobs/finetune.py made")
    if is_lora(record.recipe.get("method", "")):
        found = tuple(one for one in record.objects if one.key in (LORA_FILE, KOHYA_FILE))
        missing = {LORA_FILE} - {one.key for one in found}
    else:
        found = tuple(one for one in record.objects if is_wanted(one.key, MODEL))
        missing = set() if any(one.key.endswith(".safetensors") for one in found) else {"*/*.safetensors"}
    if missing:
        raise BadInput(f"{uri}: its record names no {', '.join(sorted(missing))}; fine-tune it with this version")
    return found


def loaded_digest(record: Record, files: tuple[StoredObject, ...]) -> str:
    """What a set's record and an audit call the model by: the digest of the files that are loaded."""
    loaded = [one for one in files if one.key != KOHYA_FILE]
    return digest_of((one.key, one.sha256) for one in loaded)


def check_model_audit(uri: str, audit: Record | None, digest: str) -> AuditMetrics:
    """What the audit found; `BadInput` unless it is a finished one that attacked just this model and passed."""
    finished = require_finished_audit(uri, audit)
    if finished.recipe.get("model") != digest:
        raise BadInput(f"--audit {uri}: did not attack this model; audit a set of its pictures with --model")
    return require_passed(uri, finished, "model")


def publish_model(job: PublishModelJob, advance: Callable[[int], object]) -> Record:
    """Copies the weights, each compared with the record, and writes the card; returns the record."""
    job.begin(pa.table({"file": [file.key for file in job.files]}))
    objects = []
    for file in job.files:
        objects.append(job.store.put(file.key, read_weights(job.source, file)))
        advance(1)
    weights = Made.of(objects)
    objects.append(job.store.put(CARD_KEY, render_model_card(job).encode()))
    verdicts = {"verdict": job.audit.verdict, "risks": job.audit.risks} if job.audit else "unaudited"
    few = ModelMetrics.read(job.record).few_steps
    metrics = {"sources": public_sources(job.record), "audit": verdicts}
    return job.new_record(weights, objects, metrics | ({"few_steps": few.model_dump()} if few else {}), inputs={})


def read_weights(source: Store, file: StoredObject) -> bytes:
    """A file as it was recorded.

    Raises:
        BadInput: it is missing or damaged, or names a place of the machine that it was made on.
    """
    where = f"{source.uri}: {file.key}"
    try:
        data = source.get(file.key)
    except KeyError:
        data = b""
    if sha256(data) != file.sha256:
        raise BadInput(f"{where} is missing or damaged; restore it")
    texts = safetensors_texts(data) if file.key.endswith(".safetensors") else [data.decode("utf-8", "replace")]
    if file.key.endswith((".safetensors", "config.json", "model_index.json")) and any(map(names_place, texts)):
        raise BadInput(f"{where} names a path of a machine; fine-tune it with this version")
    return data


def safetensors_texts(data: bytes) -> list[str]:
    """What stands beside the tensors in a safetensors file."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        metadata = read_header(Path(file.name)).metadata
    return [text for pair in metadata.items() for text in pair]


def public_sources(record: Record) -> list[str]:
    named = SourceMetrics.read(record).sources or [UNKNOWN_SOURCE]
    return sorted({without_place(source, "a local source") for source in named})


def render_model_card(job: PublishModelJob) -> str:
    """The model card, with the front matter that the Hugging Face hub reads."""
    told = ModelMetrics.read(job.record)
    tests = job.audit.tests if job.audit else {}
    return render(
        "published_model.md", lora=job.is_lora, licence=job.licence, base=job.record.inputs.get("model", "unknown"),
        steps=job.record.metrics.get("step"), rank=job.record.recipe.get("rank"), sources=public_sources(job.record),
        about=phantom_notice(public_sources(job.record)), promise=told.privacy, few=told.few_steps,
        no_promise=NO_PROMISE,
        audit=job.audit and audit_table(job.audit), summary=public_lines(job.audit.summary) if job.audit else [],
        untested=[name for name, verdict in tests.items() if verdict == UNTESTED], unaudited=unaudited("this model"),
        kohya=KOHYA_FILE if any(one.key == KOHYA_FILE for one in job.files) else None, file=LORA_FILE,
        files=", ".join(f"`{one.key}`" for one in job.files),
    )  # fmt: skip
