"""Files that benchmarks of an extractor read: a set of pictures, and Inception's weights, random ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.torch import save_file
from torchvision.models import inception_v3

from cxr.artifact import Made, Record, recipe_digest
from cxr.data.catalog import CATALOG, CatalogSet
from cxr.data.images import encode_png
from cxr.data.labels import Labels
from cxr.store import open_store


def random_inception(folder: Path) -> Path:
    """A file of weights as pytorch-fid's network takes them."""
    state = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    path = folder / "inception.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def stored(place: str, pixels: np.ndarray) -> CatalogSet:
    """Pictures as a set that has a catalog only."""
    store, rows = open_store(place), []
    for number, picture in enumerate(pixels):
        kept = store.put(f"images/a/{number:04d}.png", encode_png(picture))
        rows.append({"image_id": f"{number:04d}", "key": kept.key, "finding": "a", "sha256": kept.sha256})
    table = pa.Table.from_pylist([{**row, **Labels.only("a").as_columns(["a"])} for row in rows], schema=CATALOG)
    counts = Made(count=len(rows), bytes=0, digest="")
    record = Record(kind="set", recipe={}, recipe_digest=recipe_digest({}), made=counts, objects=[])
    return CatalogSet(store, record, table)
