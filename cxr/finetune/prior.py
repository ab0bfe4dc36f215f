"""Class pictures for prior preservation (Ruiz et al. 2023, DreamBooth): what the base model shows for the class."""

import io
import json
from collections.abc import Callable, Sequence

import numpy as np

from cxr.finetune.batches import CLASS_IMAGES, CaptionedImages, derive_seed
from cxr.finetune.config import FinetuneConfig
from cxr.store import Store, sha256

_SHAPED_BY = ("class_prompt", "class_images", "size", "sampling_steps", "guidance", "seed")


def make_class_images(
    config: FinetuneConfig,
    model_digest: str,
    sample: Callable[[Sequence[str], Sequence[int]], np.ndarray],
    store: Store,
) -> CaptionedImages:
    """The class pictures of a recipe: out of the store where they were made before, else made and stored.

    Args:
        sample: prompts and seeds to uint8 [N, size, size], with the base model as it is before training.
        store: a cache; recipes that share model, prompt, count, size, sampler and seed share an entry.
    """
    shape = json.dumps([model_digest, config.model_dump(include=set(_SHAPED_BY))], sort_keys=True)
    key = f"class_images/{sha256(shape.encode())[:32]}.npy"
    captions = [config.class_prompt] * config.class_images
    try:
        pixels = np.load(io.BytesIO(store.get(key)), allow_pickle=False)
    except KeyError:
        first = derive_seed(config.seed, CLASS_IMAGES)
        pixels = sample(captions, range(first, first + config.class_images))
        data = io.BytesIO()
        np.save(data, pixels)
        store.put(key, data.getvalue())
    return CaptionedImages(pixels, captions)
