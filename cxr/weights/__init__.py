"""Base models, LoRAs, extractors and classifiers by name: found or fetched once per machine, verified by digest.

Safetensors only, but for the published files of FID's network and of torchvision's.

A model's name is an alias (`tiny`, `sd15`, ...), a local folder, a whole model in one local file,
`owner/name@<40-hex commit>` on the Hugging Face hub, or `s3://bucket/prefix`. Of a folder the full-precision files are
used: fine-tuning needs them, a loader casts them, and a model keeps one digest whatever the device; of a part without
them those in half precision (`variant="fp16"`), through links under the usual names. Safety checker and feature
extractor are left out. The name of an extractor says which network it is: `tiny`, `inception`, `rad-dino`, or
`xrv=PLACE` with such a place.

names.py           what a name can mean; the aliases with their mirrors and published digests
found.py           from a name to verified files: `resolve`
hub.py             over the Hugging Face hub, into its own cache
published.py       .pth files of known digest: FID's network, torchvision's
bucket.py          from an S3 prefix, into our cache
single_file.py     a whole model in one file, as model sites give it, converted into our cache
single_layouts.py  what such a file does not hold: shapes, schedule, tokenizer
kept.py            folders of our cache, whole or not there
files.py           which files count, their digests, and what they are checked against
kinds.py           what else a file or folder may be, and what helps
"""

from cxr.weights.files import EXTRACTOR, strip_local_paths, write_digest
from cxr.weights.found import Weights, read_state, resolve, resolve_extractor, resolve_imagenet, resolve_lora
from cxr.weights.names import (
    PUBLISHED_RAD_DINO,
    check_extractor_spec,
    check_lora_spec,
    check_spec,
    check_weights_spec,
    network_and_place,
)
