"""An audit as an artifact: what is compared, written first; results, page and pairs; the record last."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Artifact, Made, Record
from cxr.artifact.keys import PAGE_KEY, PICTURES_KEY, PLAN_KEY
from cxr.artifact.kinds import AUDIT
from cxr.artifact.metrics import AuditMetrics
from cxr.audit.attacked import AttackedModel
from cxr.audit.conduct import CopySearch
from cxr.audit.config import DETAILS, AuditConfig, identity
from cxr.audit.duplicates import why_too_few
from cxr.audit.judge import NEAREST
from cxr.audit.page import page, summarise
from cxr.audit.results import Audit
from cxr.audit.sets import RealPictures, why_untestable
from cxr.data.catalog import CatalogSet, list_compared
from cxr.store import Store, parquet, read_parquet

AUDIT_KEY, SUMMARY_KEY = "audit.json", "summary.json"


@dataclass(frozen=True)
class AuditJob(Artifact):
    """All that is fixed before the first picture is read."""

    kind = AUDIT

    config: AuditConfig
    real: CatalogSet
    synthetic: CatalogSet
    shown: np.ndarray | None  # bool [N], rows of the real set's patients that the generator was shown; None: not known
    attacked: AttackedModel | str  # or why none is


def prepare(
    store: Store, config: AuditConfig, extractor_digest: str, real: CatalogSet, synthetic: CatalogSet,
    shown: np.ndarray | None, attacked: AttackedModel | str,
) -> AuditJob:  # fmt: skip
    """Nothing goes to the store yet. Raises `BadInput` where the place holds something else."""
    model = attacked.tuned.digest if isinstance(attacked, AttackedModel) else None
    recipe = identity(config, extractor_digest, real.digest, synthetic.digest, shown, model)
    job = AuditJob(store, recipe, config, real, synthetic, shown, attacked)
    job.refuse_other()
    return job


def begin(job: AuditJob) -> None:
    """Writes which pictures are compared, so that a restart knows the place as its own."""
    job.begin(list_compared(job.real, job.synthetic))


def complete(
    job: AuditJob, found: Audit, pictures: pa.Table, drawn: dict[str, bytes], device: str, timings: dict[str, float]
) -> Record:
    """Writes results, page and pairs; returns the record, which names nobody."""
    pieces = {
        AUDIT_KEY: found.json(),
        SUMMARY_KEY: found.summary_json(),
        PICTURES_KEY: parquet(pictures),
        PAGE_KEY: page(found),
        **drawn,
    }
    objects = [job.store.read_back(PLAN_KEY), *(job.store.put(key, data) for key, data in pieces.items())]
    return job.new_record(
        Made.of(objects),
        objects,
        inputs={name: job.recipe[name] for name in ("extractor", "real", "synthetic", "model") if job.recipe[name]},
        seeds={"seed": job.config.seed},
        device=device,
        timings=timings,
        metrics=AuditMetrics(
            verdict=found.verdict,
            risks=found.risks,
            tests={test.name: test.verdict for test in found.tests},
            summary=summarise(found),
            nearest=nearest_above_chance(found),
        ).write(),
    )


def nearest_above_chance(found: Audit) -> float | None:
    """What a comparison of studies draws as leakage, because every audit can have it, without a model."""
    metrics = next((test.metrics for test in found.tests if test.name == NEAREST.format(DETAILS)), None)
    if not metrics:
        return None
    share, expected = metrics["share"], metrics["expected"]
    assert isinstance(share, float) and isinstance(expected, float)
    return share - expected


def why_unflagged(real: CatalogSet, config: AuditConfig) -> str:
    """Why no picture can be flagged as a near-duplicate; empty if pictures can."""
    known = real.table.filter(pc.is_valid(real.table["patient_id"]))
    return why_untestable(real) or why_too_few(known["split"].to_pylist().count("test"), config.false_alarms)


def read_flagged(job: AuditJob) -> pa.Table:
    """Of a finished audit, the pictures that either detector flags as near-duplicates, and their scores; names no
    training picture."""
    table = read_parquet(job.store.get(PICTURES_KEY))
    flags = [table[name] for name in table.column_names if name.startswith("copied_")]
    scores = [name for name in table.column_names if name.startswith("score_")]
    return table.filter(functools.reduce(pc.or_, flags)).select(["image_id", "finding", *scores])


def pictures_table(
    job: AuditJob, real: RealPictures, nearest: dict[str, np.ndarray], searches: Sequence[CopySearch]
) -> pa.Table:
    """A row for each synthetic picture, in the catalog's order: which tests flag it, and its original by each detector;
    null where that was not tested. Names training pictures."""
    columns: dict[str, pa.Array | list] = {
        "image_id": job.synthetic.table["image_id"], "finding": job.synthetic.table["finding"]
    }  # fmt: skip
    for by, flagged in nearest.items():
        columns[f"nearest_{by}"] = pa.array(flagged.tolist(), pa.bool_())
    for search in searches:
        by = search.name.replace(" ", "_")
        flags = [None] * len(search.scores) if search.test is None else search.test.flagged.tolist()
        columns |= {
            f"copied_{by}": pa.array(flags, pa.bool_()),
            f"score_{by}": search.scores.astype(np.float32),
            f"original_{by}": real.ids[search.rows].tolist(),
        }
    return pa.table(columns)
