"""Replaces hashes that anybody can turn back into ids in an artifact of version 0.1, in place."""

from cxr.artifact import read_record, replace_record
from cxr.artifact.keys import CATALOG_KEY, PLAN_KEY, RECORD_KEY
from cxr.data.lineage import HASHED_IDS, LINEAGE, merge_lineages, read_lineage, record_lineage
from cxr.data.lineage_lists import LINEAGE_KEY, encode_lists, save_for_owner
from cxr.errors import BadInput
from cxr.store import Store, StoredObject, parquet, read_parquet

PATIENT_COLUMN = "patient"  # column of a fine-tuning's plan, of such names


def protect_artifact(store: Store) -> int:
    """Returns how many hashes were replaced. Pictures and weights stay as they are; the record is replaced last, so
    that a run that was stopped is finished by another one.

    Raises:
        BadInput: there is no record, or the owner's key cannot be had.
    """
    record = read_record(store)
    if record is None:
        raise BadInput(
            f"{store.uri}: no {RECORD_KEY}, so unfinished or not an artifact; finish it with its own command"
        )
    if not record.metrics.get(HASHED_IDS):
        return 0
    lineage = merge_lineages(read_lineage(record.metrics))
    save_for_owner(lineage)
    metrics = {name: value for name, value in record.metrics.items() if name != HASHED_IDS} | {
        LINEAGE: record_lineage(lineage)
    }
    changed = {stored.key: stored for stored in record.objects}
    if CATALOG_KEY not in changed:  # beside a set of images no list may lie
        for stored in (store.put(LINEAGE_KEY, encode_lists(lineage)), remove_patient_column(store)):
            changed[stored.key] = stored
    replace_record(store, record.model_copy(update={"metrics": metrics, "objects": list(changed.values())}))
    return len(record.metrics[HASHED_IDS])


def remove_patient_column(store: Store) -> StoredObject:
    """Stores the plan without its column of patients."""
    plan = read_parquet(store.get(PLAN_KEY))
    if PATIENT_COLUMN not in plan.column_names:
        return store.read_back(PLAN_KEY)
    return store.put(PLAN_KEY, parquet(plan.drop_columns(PATIENT_COLUMN)))
