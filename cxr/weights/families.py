"""The kinds of diffusion models that are known, by `_class_name` in their model_index.json.

A further one is an entry here, and in `cxr/diffusion` a module with its subclass of `DiffusionModel`. Light, because a
folder of another kind is refused before anything is loaded or fetched.
"""

from dataclasses import dataclass

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CLIP_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
# A UNet that is to sample in few steps changes in its convolutions too: the layers of LCM-LoRA, as diffusers'
# examples/consistency_distillation/train_lcm_distill_lora_sd_wds.py has them.
UNET_LAYERS = (
    *ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut",
    "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj",
)  # fmt: skip


@dataclass(frozen=True)
class Family:
    """What a pipeline's index names, and who loads it."""

    name: str
    model: str  # module:class, of a `cxr.diffusion.family.DiffusionModel`
    parts: dict[str, tuple[str, ...] | None]  # each with the classes that are read; None: any
    trained: dict[str, tuple[str, ...]]  # parts that can be trained, the denoiser first; the layers of a new LoRA
    optional: tuple[str, ...] = ()  # parts that a folder may be without
    solvers: tuple[str, ...] = ("dpm",)  # that its models are sampled by; those of "ddim" can be distilled
    distilled: tuple[str, ...] = ()  # of those: the denoiser's layers of a new LoRA that distils


T5_TOKENIZER = ("T5Tokenizer", "T5TokenizerFast")
CLIP_TOKENIZER = ("CLIPTokenizer", "CLIPTokenizerFast")
FAMILIES = {
    "StableDiffusionPipeline": Family(
        "Stable Diffusion 1.x and 2.x",
        "cxr.diffusion.stable_diffusion:StableDiffusion",
        {
            "unet": ("UNet2DConditionModel",),
            "vae": ("AutoencoderKL",),
            "text_encoder": ("CLIPTextModel",),
            "tokenizer": CLIP_TOKENIZER,
            "scheduler": None,
        },
        {"unet": ATTENTION, "text_encoder": CLIP_ATTENTION},
        solvers=("dpm", "ddim", "lcm"),
        distilled=UNET_LAYERS,
    ),
    "StableDiffusionXLPipeline": Family(
        "Stable Diffusion XL",
        "cxr.diffusion.stable_diffusion_xl:StableDiffusionXL",
        {
            "unet": ("UNet2DConditionModel",),
            "vae": ("AutoencoderKL",),
            "text_encoder": ("CLIPTextModel",),
            "text_encoder_2": ("CLIPTextModelWithProjection",),
            "tokenizer": CLIP_TOKENIZER,
            "tokenizer_2": CLIP_TOKENIZER,
            "scheduler": None,
        },
        {"unet": ATTENTION, "text_encoder": CLIP_ATTENTION, "text_encoder_2": CLIP_ATTENTION},
    ),
    "StableDiffusion3Pipeline": Family(
        "Stable Diffusion 3 and 3.5",
        "cxr.diffusion.stable_diffusion_3:StableDiffusion3",
        {
            "transformer": ("SD3Transformer2DModel",),
            "vae": ("AutoencoderKL",),
            "text_encoder": ("CLIPTextModelWithProjection",),
            "text_encoder_2": ("CLIPTextModelWithProjection",),
            "text_encoder_3": ("T5EncoderModel",),
            "tokenizer": CLIP_TOKENIZER,
            "tokenizer_2": CLIP_TOKENIZER,
            "tokenizer_3": T5_TOKENIZER,
            "scheduler": ("FlowMatchEulerDiscreteScheduler",),
        },
        {"transformer": (*ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")},
        optional=("text_encoder_3", "tokenizer_3"),
    ),
    "PixArtSigmaPipeline": Family(
        "PixArt-Sigma",
        "cxr.diffusion.pixart_sigma:PixArtSigma",
        {
            "transformer": ("PixArtTransformer2DModel", "Transformer2DModel"),
            "vae": ("AutoencoderKL",),
            "text_encoder": ("T5EncoderModel",),
            "tokenizer": T5_TOKENIZER,
            "scheduler": None,
        },
        {"transformer": ATTENTION},
    ),
    "SanaPipeline": Family(
        "Sana",
        "cxr.diffusion.sana:Sana",
        {
            "transformer": ("SanaTransformer2DModel",),
            "vae": ("AutoencoderDC",),
            "text_encoder": ("Gemma2Model",),
            "tokenizer": ("GemmaTokenizer", "GemmaTokenizerFast"),
            "scheduler": ("DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"),
        },
        {"transformer": ATTENTION},
    ),
}
SETTINGS = ("requires_safety_checker", "force_zeros_for_empty_prompt", "add_watermarker")  # of an index, beside parts
KNOWN_MODELS = (
    f"the models known are {', '.join(family.name for family in FAMILIES.values())}; give tiny, sd15, sana_600m or such"
)
