"""The runs of a fine-tuning, the folds and the final one: which rows of the plan each has, and what it comes to."""

import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from cxr.finetune.config import Metrics
from cxr.store import Store, StoredObject

FINAL = "final"  # the run whose model is left; the others are folds
RESULTS = "results/"
SAMPLES = "samples/"
TRAJECTORIES = "trajectories/"  # of a distillation
PLAN = pa.schema(
    [
        ("image_id", pa.string()),
        ("key", pa.string()),
        ("sha256", pa.string()),
        ("finding", pa.string()),
        ("caption", pa.string()),
        ("split", pa.string()),
        ("fold", pa.int32()),
    ]
)


def rows_of_run(plan: pa.Table, run: str, folds: int) -> tuple[pa.Table, pa.Table]:
    """What a run trains on and what it is measured on; a set of more folds than are asked for has them joined."""
    trained = plan.filter(pc.equal(plan["split"], "train"))
    if run == FINAL:
        return trained, plan.filter(pc.equal(plan["split"], "validation"))
    held_out = pa.array([fold % folds == int(run[len("fold") :]) - 1 for fold in trained["fold"].to_pylist()])
    return trained.filter(pc.invert(held_out)), trained.filter(held_out)


@dataclass(frozen=True)
class Result:
    """What a run has come to."""

    step: int  # of the best validation
    epoch: int
    scores: Metrics  # of that validation
    base: Metrics  # the same before the first step
    test: Metrics  # of the final run; touched this once
    objects: list[StoredObject]
    history: list[Metrics]
    device: str


def result_key(run: str) -> str:
    return f"{RESULTS}{run}.json"


def read_result(store: Store, run: str) -> Result | None:
    try:
        stored = json.loads(store.get(result_key(run)))
    except KeyError:
        return None
    return Result(**{**stored, "objects": [StoredObject(**piece) for piece in stored["objects"]]})
