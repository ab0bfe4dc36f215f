"""What of a set may leave: generated pictures without texts, rows without patients, and words without places."""

import pyarrow as pa

from cxr.artifact import Record
from cxr.artifact.kinds import AUDIT, EVALUATION, GENERATED_IMAGES, IMAGES_WITHOUT_COPIES
from cxr.artifact.metrics import LEAK, UNTESTED, AuditMetrics
from cxr.artifact.public_text import names_place, without_place
from cxr.data.catalog import CATALOG, CatalogSet
from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, decode_gray, encode_png
from cxr.errors import BadInput

OF_PATIENTS = ("patient_id", "split", "fold")  # columns of real sets, empty in generated ones
MARK = GENERATED_XMP.encode()


def check_generated(found: CatalogSet) -> None:
    """`BadInput` unless all in the set was generated: real pictures never leave."""
    kind, uri = found.record.kind, found.store.uri
    if kind not in (GENERATED_IMAGES, IMAGES_WITHOUT_COPIES):
        raise BadInput(
            f"{uri}: holds {kind}, not a generated set; give one that jobs/generate.py or --quarantine wrote"
        )
    for column in OF_PATIENTS:
        if found.table[column].null_count < len(found.table):
            raise BadInput(f"{uri}: its catalog has a {column}, as sets of real pictures have; it is not published")


def check_audit(uri: str, audit: Record | None, found: CatalogSet) -> AuditMetrics:
    """What the audit found; `BadInput` unless it is a finished one of just this set that passed."""
    finished = require_finished_audit(uri, audit)
    if finished.recipe.get("synthetic") != found.digest:
        raise BadInput(f"--audit {uri}: is of another set than {found.store.uri}; audit this one")
    return require_passed(uri, finished, "set")


def require_finished_audit(uri: str, audit: Record | None) -> Record:
    if audit is None or audit.kind != AUDIT:
        raise BadInput(f"--audit {uri}: no finished audit; give the --out of jobs/audit.py")
    return audit


def require_passed(uri: str, audit: Record, published: str) -> AuditMetrics:
    """What the audit found; `BadInput` unless it passed: it tested something and found no leak. It is no promise that
    there is none.

    Args:
        published: what the audit is of, in words.
    """
    found = AuditMetrics.read(audit)
    if leaks := [name for name, verdict in found.tests.items() if verdict == LEAK]:
        raise BadInput(f"--audit {uri}: {LEAK} by {', '.join(leaks)}; the {published} is not published")
    if found.verdict == UNTESTED:
        raise BadInput(f"--audit {uri}: no test could be made; audit against more patients, or give --unaudited")
    return found


def check_evaluation(uri: str, evaluation: Record | None, found: CatalogSet) -> None:
    """`BadInput` unless it is a finished one of this set, or of the set that this was taken from."""
    if evaluation is None or evaluation.kind != EVALUATION:
        raise BadInput(f"--evaluation {uri}: no finished evaluation; give the --out of jobs/evaluate.py")
    if evaluation.recipe.get("synthetic") not in (found.digest, found.record.recipe.get("set", found.digest)):
        raise BadInput(f"--evaluation {uri}: is of another set than {found.store.uri}; evaluate this one")


def public_rows(found: CatalogSet) -> tuple[pa.Table, int]:
    """The catalog without what is of patients or places, and how many prompts name a place and are left out."""
    table = found.table
    prompts = table["text"].to_pylist()
    columns = {
        "text": [None if names_place(prompt) else prompt for prompt in prompts],
        "source": [without_place(source, "a local model") for source in table["source"].to_pylist()],
        "licence": [without_place(licence, "unstated") for licence in table["licence"].to_pylist()],
        **{name: [None] * len(table) for name in OF_PATIENTS},
    }
    arrays = {
        name: pa.array(columns[name], CATALOG.field(name).type) if name in columns else table[name]
        for name in CATALOG.names
    }
    return pa.table(arrays, schema=CATALOG), sum(map(names_place, prompts))


def public_png(data: bytes, name: str) -> bytes:
    """The picture anew: its pixels and the IPTC mark of generated media, no other text.

    Raises:
        BadInput: it is damaged, or does not bear the mark that every picture of ours bears: it may be a real one.
    """
    if MARK not in data:
        raise BadInput(f"{name} bears no mark of generated media, so it may be a real picture; it is not published")
    return encode_png(decode_gray(data, name), {XMP_KEYWORD: GENERATED_XMP})
