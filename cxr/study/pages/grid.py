"""Pictures that a study was trained on, as a sheet."""

import pyarrow as pa

from cxr.artifact.kinds import GENERATED_IMAGES, IMAGES_WITHOUT_COPIES
from cxr.data.catalog import CatalogSet, read_files
from cxr.data.labels import shown_findings
from cxr.data.lineage import has_phantoms
from cxr.report.contact_sheet import COLUMNS, contact_sheet
from cxr.study.sets import Sets


def draw_grid(sets: Sets) -> bytes:
    """Training pictures of each class, the real ones above the synthetic ones."""
    generated = sets.real.record.kind in (GENERATED_IMAGES, IMAGES_WITHOUT_COPIES)
    first = "generated" if generated else "phantom" if has_phantoms(sets.real.sources) else "real"
    rows = {}
    for finding in sets.classes:
        for name, side in {first: sets.real, **sets.sides}.items():
            rows[f"{finding}, {name}"] = read_first_pictures(side, finding)
    return contact_sheet({name: files for name, files in rows.items() if files})


def read_first_pictures(side: CatalogSet, finding: str) -> list[bytes]:
    """Files of the first pictures of a finding, by id, of the train part where there is one."""
    rows = [
        row for row in side.table.to_pylist() if finding in shown_findings(row) and row["split"] in (None, "train")
    ]  # fmt: skip
    chosen = sorted(rows, key=lambda row: row["image_id"])[:COLUMNS]
    tables_of = (pa.Table.from_pylist([row], schema=side.table.schema) for row in chosen)
    return [data for table in tables_of for _, data in read_files(side.store, table)]
