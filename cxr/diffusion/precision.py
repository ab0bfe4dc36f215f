"""What networks compute in."""

from typing import Literal

import torch

from cxr.diffusion.config import Precision

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def pick_dtype(precision: Precision, use: Literal["sample", "train"], device: torch.device) -> torch.dtype:
    """`auto` on a GPU: fp16 to sample, whose finer steps show in pictures; bf16 to train, whose range gradients need,
    where the GPU has it. On a CPU fp32 for both. What is trained is float32 in any case."""
    if precision != "auto":
        return DTYPES[precision]
    if device.type != "cuda":
        return torch.float32
    bf16 = use == "train" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if bf16 else torch.float16


def own_device() -> torch.device:
    """The one that this process works on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
