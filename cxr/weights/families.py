"""The kinds of diffusion models that are known, by `_class_name` in their model_index.json.

A second one is an entry here, and in `cxr/diffusion` a module with its subclass of `DiffusionModel`. Light, because a
folder of another kind is refused before anything is loaded or fetched.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What a pipeline's index names, and who loads it."""

    name: str
    model: str  # module:class, of a `cxr.diffusion.family.DiffusionModel`
    parts: dict[str, tuple[str, ...] | None]  # each with the classes that are read; None: any


FAMILIES = {
    "StableDiffusionPipeline": Family(
        "Stable Diffusion 1.x and 2.x",
        "cxr.diffusion.stable_diffusion:StableDiffusion",
        {
            "unet": ("UNet2DConditionModel",),
            "vae": ("AutoencoderKL",),
            "text_encoder": ("CLIPTextModel",),
            "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
            "scheduler": None,
        },
    )
}
KNOWN_MODELS = (
    f"the models known are {', '.join(f'{family.name} ({pipeline})' for pipeline, family in FAMILIES.items())}; "
    "give tiny, sd15, sd21 or such"
)
