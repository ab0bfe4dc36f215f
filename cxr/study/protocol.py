"""What a study must know of its synthetic sets before anything is trained, and what the user let pass."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cxr.artifact import Record
from cxr.artifact.kinds import AUDIT, EVALUATION, IMAGES_WITHOUT_COPIES
from cxr.artifact.metrics import EvaluationMetrics, FilterMetrics
from cxr.data.catalog import CatalogSet
from cxr.data.lineage import read_lineage, warn_of_hashed_ids
from cxr.data.lineage_lists import NO_LISTS, PatientLists, compare_patients
from cxr.data.prompt_accuracy import PromptAccuracy
from cxr.errors import BadInput
from cxr.study.config import StudyConfig
from cxr.study.labels_check import unfaithful_labels
from cxr.study.sets import Sets


def check_protocol(
    sets: Sets,
    config: StudyConfig,
    evaluation: Record | None,
    lists: PatientLists = NO_LISTS,
    shown: Mapping[str, Sequence[PromptAccuracy]] = MappingProxyType({}),
) -> list[str]:
    """What `--allow-...` lets pass, in words.

    Args:
        lists: of patients whom models were shown, see `lineage_lists.read_lists_option`.
        shown: by synthetic set, how often its pictures show what was asked for.

    Raises:
        BadInput: the generator saw test patients or may have, nobody looked for copies, or labels are mostly wrong, and
            it is not allowed.
    """
    return [
        line
        for name, found in sets.sides.items()
        for line in doubts_about(sets.real, found, config, evaluation, lists, shown.get(name, ()))
    ]


def doubts_about(
    real: CatalogSet,
    synthetic: CatalogSet,
    config: StudyConfig,
    evaluation: Record | None,
    lists: PatientLists,
    shown: Sequence[PromptAccuracy],
) -> list[str]:
    """Of one synthetic set."""
    doubts = {
        "--allow-seen-patients": (config.allow_seen_patients, seen_patients(real, synthetic, lists)),
        "--allow-unchecked-copies": (config.allow_unchecked_copies, unchecked_copies(real, synthetic, evaluation)),
        "--allow-unfaithful-labels": (config.allow_unfaithful_labels, unfaithful_labels(shown, config)),
    }
    for option, (allowed, doubt) in doubts.items():
        if doubt and not allowed:
            raise BadInput(f"--synthetic {synthetic.store.uri}: {doubt}; or give {option}, and the report says so")
    return [doubt for _, doubt in doubts.values() if doubt]


def seen_patients(real: CatalogSet, synthetic: CatalogSet, lists: PatientLists) -> str:
    """What is wrong with whom the generator saw; empty if nothing."""
    lineage = read_lineage(synthetic.record.metrics)
    warn_of_hashed_ids(synthetic.store.uri, lineage)
    found = compare_patients(lineage, real.table, lists)
    if found.tested:
        return (
            f"its generator was trained on {found.tested} patients of the test part; fine-tune on the train part only"
        )
    if not found.unchecked:
        return ""
    known = "" if lineage else "; generate with a model that jobs/finetune.py made, or with an alias"
    return f"that it saw no patient of the test part cannot be checked: {found.unchecked}{known}"


def unchecked_copies(real: CatalogSet, synthetic: CatalogSet, evaluation: Record | None) -> str:
    """Why nobody can say that the set holds no copies of the training pictures; empty if somebody can."""
    record = synthetic.record
    if record.kind == IMAGES_WITHOUT_COPIES and record.recipe.get("real") == real.digest:
        return ""
    chosen = FilterMetrics.read(record).filter
    if chosen and "copies" in chosen.tests and chosen.real == real.digest:
        return ""
    if evaluation is not None and compares(evaluation, real, synthetic):
        copies = EvaluationMetrics.read(evaluation).copies
        if copies is None:
            return (
                "near-duplicates could not be told: the evaluation had too few training pictures; give more real ones"
            )
        if copies:
            return (
                f"{copies} of its pictures are like training pictures; give the set without them, which --quarantine "
                "of jobs/evaluate.py writes"
            )
        return ""
    return (
        "nobody looked for copies of the training pictures in it; run jobs/evaluate.py with these two sets and give "
        "its --quarantine set here, or its place as --evaluation"
    )


def compares(found: Record, real: CatalogSet, synthetic: CatalogSet) -> bool:
    """Whether it is an evaluation, or an audit, of just these sets."""
    return (found.recipe.get("real"), found.recipe.get("synthetic")) == (real.digest, synthetic.digest)


def check_audit(uri: str, audit: Record | None, sets: Sets) -> Record:
    """Its record; `BadInput` unless it is a finished one of just the real and the main synthetic set."""
    if audit is None or audit.kind != AUDIT:
        raise BadInput(f"--audit {uri}: no finished audit; give the --out of jobs/audit.py")
    if sets.synthetic is None or not compares(audit, sets.real, sets.synthetic):
        raise BadInput(f"--audit {uri}: is of other sets than --real and --synthetic; audit these")
    return audit


def check_evaluation(uri: str, evaluation: Record | None, sets: Sets) -> Record:
    """Its record; `BadInput` unless it is a finished one of these sets, or of the set that these were taken from."""
    if evaluation is None or evaluation.kind != EVALUATION:
        raise BadInput(f"--evaluation {uri}: no finished evaluation; give the --out of jobs/evaluate.py")
    synthetic = sets.synthetic and {sets.synthetic.digest, sets.synthetic.record.recipe.get("set")}
    if evaluation.recipe.get("real") != sets.real.digest or evaluation.recipe.get("synthetic") not in (synthetic or ()):
        raise BadInput(f"--evaluation {uri}: is of other sets than --real and --synthetic; evaluate these")
    return evaluation
