"""All that knows a text-to-image pipeline."""

from cxr.diffusion.lora_files import Lora, check_values, read_lora
from cxr.diffusion.whole_model import check_networks

__all__ = ["Lora", "check_networks", "check_values", "read_lora"]
