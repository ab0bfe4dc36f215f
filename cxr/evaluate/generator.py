"""Whether the real set holds whom the generator learned from: copies of others cannot be found in it."""

from cxr.data.catalog import CatalogSet
from cxr.data.lineage import read_lineage, warn_of_hashed_ids
from cxr.data.lineage_lists import PatientLists, compare_patients
from cxr.errors import BadInput


def check_generator(real: CatalogSet, synthetic: CatalogSet, lists: PatientLists) -> str:
    """What a reader must know of it.

    Args:
        lists: as `lineage_lists.read_lists_option`.

    Raises:
        BadInput: the generator learned from patients who are in neither the training nor the validation part.
    """
    lineage = read_lineage(synthetic.record.metrics)
    warn_of_hashed_ids(synthetic.store.uri, lineage)
    found = compare_patients(lineage, real.table, lists)
    if found.outside:
        tested = f" ({found.tested} of them in its test part)" if found.tested else ""
        raise BadInput(
            f"--real {real.store.uri}: of {found.shown} patients that the generator of --synthetic was trained on, "
            f"{found.outside} are not in its training and validation parts{tested}, so copies of these would not be "
            "found; give the set that it was trained on"
        )
    if found.nobody:
        return (
            "this project showed the generator no patient: copies are looked for among training pictures that it was "
            "not shown, so that one found is chance, and the pictures that it did learn from are not looked through"
        )
    if found.unchecked:
        return (
            "it could not be checked that the real set holds the patients whom the generator was trained on, and "
            f"copies of others are not found: {found.unchecked}"
        )
    return (
        "all whom the generator was trained on or chosen by are in the real set's training and validation parts; "
        "copies are looked for in the training part"
    )
