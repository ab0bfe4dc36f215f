"""The one table that every set of images has, ingested or generated: one row an image."""

import pyarrow as pa

CATALOG = pa.schema(
    [
        ("image_id", pa.string()),
        ("key", pa.string()),  # of the object that holds it: a picture, or a shard of many
        ("finding", pa.string()),
        ("text", pa.string()),  # the prompt, or the report
        ("patient_id", pa.string()),
        ("view", pa.string()),
        ("sex", pa.string()),
        ("age", pa.int32()),
        ("split", pa.string()),
        ("fold", pa.int32()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("sha256", pa.string()),  # of the picture's file
    ]
)


def image_key(finding: str, image_id: str) -> str:
    """Where a picture lies in a set that has a file for each."""
    return f"images/{finding}/{image_id}.png"
