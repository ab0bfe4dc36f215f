"""An evaluation as an artifact: what is compared, written first; metrics, page and pictures; the record last."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Artifact, Made, Record
from cxr.artifact.keys import COMMITS, COPIES_KEY, PAGE_KEY, PLAN_KEY, QUALITY_KEY
from cxr.artifact.kinds import EVALUATION
from cxr.data.catalog import CatalogSet, list_compared
from cxr.detectors.details import DetailMatches
from cxr.evaluate.calibration import flag_copies
from cxr.evaluate.config import EvaluateConfig, identity
from cxr.evaluate.page import page, summarise
from cxr.evaluate.results import Quality
from cxr.evaluate.sets import ImageSet, compared_with
from cxr.report.words import FRECHET
from cxr.store import Store, StoredObject, parquet, read_parquet

TABLES_KEY = "quality.md"


@dataclass(frozen=True)
class EvaluateJob(Artifact):
    """All that is fixed before the first picture is read."""

    kind = EVALUATION
    scratch = (COMMITS,)

    config: EvaluateConfig
    real: CatalogSet
    synthetic: CatalogSet
    generator: str = ""  # what is known of whom it was shown, see `check_generator`; empty where nobody asked

    @property
    def against(self) -> str:
        """The part of the real set that the synthetic one is compared with."""
        return compared_with(self.real, self.synthetic, self.config)


def prepare(
    store: Store,
    config: EvaluateConfig,
    extractor_digest: str,
    real: CatalogSet,
    synthetic: CatalogSet,
    generator: str = "",
) -> EvaluateJob:
    """Nothing goes to the store yet. Raises `BadInput` where the place holds something else."""
    recipe = identity(config, extractor_digest, real.digest, synthetic.digest)
    job = EvaluateJob(store, recipe, config, real, synthetic, generator)
    job.refuse_other()
    return job


def begin(job: EvaluateJob) -> None:
    """Writes which pictures are compared, so that a restart knows the place as its own."""
    job.begin(list_compared(job.real, job.synthetic))


@dataclass(frozen=True)
class EvaluationResult:
    """All that an evaluation has found."""

    quality: Quality
    copies: pa.Table
    pictures: dict[str, bytes]  # by key
    kept: list[StoredObject]  # features and classifiers, which are stored already


def complete(job: EvaluateJob, found: EvaluationResult, device: str, timings: dict[str, float]) -> Record:
    """Writes metrics, page and pictures; returns the record."""
    quality = found.quality
    pieces = {
        QUALITY_KEY: quality.json(),
        TABLES_KEY: page(quality, "evaluation.md"),
        PAGE_KEY: page(quality, "evaluation.html"),
        COPIES_KEY: parquet(found.copies),
        **found.pictures,
    }
    written = (job.store.put(key, data) for key, data in pieces.items())
    objects = [job.store.read_back(PLAN_KEY), *written, *found.kept]
    return job.new_record(
        Made.of(objects),
        objects,
        inputs={name: job.recipe[name] for name in ("extractor", "real", "synthetic")},
        seeds={"seed": job.config.seed},
        device=device,
        timings=timings,
        metrics={**record_metrics(quality), "generator": job.generator},
    )


def read_flagged(job: EvaluateJob) -> pa.Table:
    """Of a finished evaluation, the pictures that it flags as near-duplicates and their scores; names no training
    picture."""
    copies = read_parquet(job.store.get(COPIES_KEY)).filter(pc.field("copied"))
    return copies.select(["image_id", "finding", "score"])


def record_metrics(quality: Quality) -> dict[str, Any]:
    """The few metrics that lists of evaluations are sorted by, and what was found in words."""
    metrics, sides, copies = quality.groups[0].metrics, quality.sides, quality.copies
    return {
        "extractor": quality.extractor,
        "against": quality.against,
        **{name: metric.interval.value for name, metric in metrics.items()},
        f"{FRECHET}_floor": metrics[FRECHET].reference.value,
        f"{FRECHET}_training": sides and sides.train,
        f"{FRECHET}_held_out": sides and sides.held_out,
        "agreement": quality.prompt_accuracy and quality.prompt_accuracy.synthetic.accuracy.share,
        "copies": copies and copies.rate.count,
        "copies_beyond_chance": copies and copies.beyond_chance,
        "summary": summarise(quality),
    }


def copies_table(real: ImageSet, synthetic: ImageSet, found: DetailMatches, threshold: float | None) -> pa.Table:
    """A row for each synthetic picture, in the catalog's order: its nearest training picture, and whether it is flagged
    as a near-duplicate, null where that cannot be told."""
    return pa.table(
        {
            "image_id": synthetic.ids.tolist(),
            "finding": synthetic.findings.tolist(),
            "score": found.scores.astype(np.float32),
            "original": real.ids[found.rows].tolist(),
            "mirrored": found.mirrored,
            "copied": pa.array(flag_copies(found.scores, threshold), pa.bool_()),
        }
    )
