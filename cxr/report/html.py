"""What every page of the project is made with: one template below them all, tables, and pictures inside the page."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

TEMPLATES = Path(__file__).parent / "templates"
SCREEN = 1400  # px, the width at which a picture is embedded

Table = tuple[list[str], list[list[str]]]  # head and rows


def render(template: str, **values: object) -> str:
    """The page that a template makes of these values, which are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(values)


def embedded(picture: bytes) -> str:
    """An image file as a data URI, no wider than a screen shows."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    if image.width > SCREEN:
        image = image.resize((SCREEN, round(image.height * SCREEN / image.width)), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.quantize(256).save(data, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
