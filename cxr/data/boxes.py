"""Boxes that readers drew around findings, kept beside a set's catalog."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

BOXES_KEY = "boxes.parquet"
BOXES = pa.schema(
    [
        ("image_id", pa.string()),
        ("finding", pa.string()),
        ("x", pa.float32()),  # of the upper left corner, in pixels of the stored picture, from its upper left corner
        ("y", pa.float32()),
        ("width", pa.float32()),
        ("height", pa.float32()),
        ("reader", pa.string()),  # as the publisher calls who drew it; none where nobody is named
    ]
)


@dataclass(frozen=True)
class Box:
    """One box, in pixels from the upper left corner."""

    finding: str
    x: float
    y: float
    width: float
    height: float
    reader: str | None = None
    side: int | None = None  # pixels of the square picture that the coordinates are of; None: of the picture as it is

    def fit(self, shape: tuple[int, int], size: int, aspect: Literal["keep", "square"]) -> "Box":
        """The box in the square that `images.fit_square` makes of a picture of shape (height, width)."""
        height, width = shape
        across, down = (width / self.side, height / self.side) if self.side else (1.0, 1.0)
        if aspect == "square":
            across, down, left, top = across * size / width, down * size / height, 0, 0
        else:
            longest = max(height, width)
            scaled = [max(1, round(side * size / longest)) for side in (width, height)]
            across, down = across * scaled[0] / width, down * scaled[1] / height
            left, top = ((size - side) // 2 for side in scaled)
        return replace(
            self, x=self.x * across + left, y=self.y * down + top, width=self.width * across,
            height=self.height * down, side=None,
        )  # fmt: skip


def boxes_table(boxes: Iterable[tuple[str, Box]]) -> pa.Table:
    """The table of (image_id, box), of boxes in stored pictures."""
    rows = [{"image_id": name, **{c: getattr(box, c) for c in BOXES.names[1:]}} for name, box in boxes]
    return pa.Table.from_pylist(rows, schema=BOXES)
