"""What every page, card and table is made with: templates, and pictures inside the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from PIL import Image

TEMPLATES = Path(__file__).parent / "templates"
SCREEN = 1400  # px, the width at which a picture is embedded

Table = tuple[list[str], list[list[str]]]  # head and rows


def render(template: str, **values: object) -> str:
    """What a template makes of these values; a page (.html) escapes them, a card or table (.md) does not."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["markdown"] = lambda cells: markdown_table(*cells)
    return environment.get_template(template).render(values)


def markdown_table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def embedded(picture: bytes) -> str:
    """An image file as a data URI, no wider than a screen shows."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    if image.width > SCREEN:
        image = image.resize((SCREEN, round(image.height * SCREEN / image.width)), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.quantize(256).save(data, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
