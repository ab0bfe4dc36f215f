"""How much of a text a text encoder reads."""

from collections.abc import Iterable
from pathlib import Path

from cxr.tables import batched

TEXTS_AT_ONCE = 1024


def count_too_long(texts: Iterable[str], tokenizer: Path) -> int:
    """How many texts have more tokens than the text encoder takes whose `tokenizer` folder this is."""
    from transformers import CLIPTokenizer

    clip = CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True)
    lengths = (clip(group, truncation=False, verbose=False).input_ids for group in batched(texts, TEXTS_AT_ONCE))
    return sum(len(ids) > clip.model_max_length for group in lengths for ids in group)
