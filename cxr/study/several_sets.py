"""Whether pictures of two sets can show several findings, and what must hold of those before anything is trained."""

from collections.abc import Sequence

import numpy as np

from cxr.data.catalog import CatalogSet
from cxr.data.labels import LabelPolicy, label_matrix
from cxr.errors import BadInput
from cxr.prompts.lists import UNLABELLED


def shows_several(found: CatalogSet) -> bool:
    return not found.vocabulary.exclusive and len(found.vocabulary.findings) > 1


def check_one_finding(option: str, found: CatalogSet) -> None:
    """`BadInput` unless each picture shows one finding, or it is known whether it shows the only one of its set."""
    findings, where = found.vocabulary.findings, f"{option} {found.store.uri}"
    if found.vocabulary.exclusive:
        return
    if len(findings) > 1:
        raise BadInput(
            f"{where}: its pictures can show several of {len(findings)} findings, those of --real one each; generate "
            f"it with --like of the real set"
        )
    if unknown := found.table["finding"].to_pylist().count(UNLABELLED):
        raise BadInput(
            f"{where}: of {unknown} pictures nobody knows whether they show {findings[0]}; a study needs to know it of "
            "each: leave them out of what is ingested"
        )


def check_same_findings(real: CatalogSet, synthetic: CatalogSet) -> None:
    """`BadInput` unless the labels of both speak of the same findings, any of which a picture can show."""
    ours, theirs = real.vocabulary, synthetic.vocabulary
    if ours != theirs:
        kind = "one a picture of " if theirs.exclusive else ""
        raise BadInput(
            f"--synthetic {synthetic.store.uri}: its findings are {kind}{', '.join(theirs.findings)}, those of --real "
            f"{', '.join(ours.findings)}, several a picture; they must be the same: generate it with --like "
            f"{real.store.uri}"
        )


def check_no_positive(positive: str | None, findings: Sequence[str]) -> None:
    if positive is not None:
        raise BadInput(
            f"--positive {positive!r}: is for one of two findings; here pictures can show several of {len(findings)}, "
            "and each is looked for: leave it out"
        )


def check_validation_chooses(uri: str, labels: np.ndarray) -> None:
    """`BadInput` unless some finding of the validation part is present in some pictures and absent in others, of
    labels [N, F]."""
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        raise BadInput(
            f"--real {uri}: no finding of its validation part is known to be present in some pictures and absent in "
            "others, and one has to choose the epoch; say --unknown absent if what is not named is absent, or ingest "
            "more"
        )


def finding_matrix(found: Sequence[CatalogSet], findings: Sequence[str], policy: LabelPolicy) -> np.ndarray:
    """`label_matrix` of the sets' pictures, one set after another."""
    return np.concatenate([label_matrix(one.table, findings, policy) for one in found])
