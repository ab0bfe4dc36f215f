"""What a single file of Stable Diffusion does not hold: its networks' shapes, its schedule and its tokenizer.

As the published folders of each kind have them (stable-diffusion-v1-5, stable-diffusion-2-1-base and -2-1,
stable-diffusion-xl-base-1.0). The tokenizer is CLIP's, of OpenAI (MIT, `clip/LICENSE`): the merges that
`bpe_simple_vocab_16e6.txt` begins with.
"""

import gzip
import json
from pathlib import Path
from typing import Any

Config = dict[str, Any]
_MERGES = Path(__file__).parent / "clip" / "merges.txt.gz"
_START, _END, _FIRST = "<|startoftext|>", "<|endoftext|>", "!"  # "!" is the first word: id 0
_SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
    "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
}  # fmt: skip
_PNDM = _SCHEDULE | {"_class_name": "PNDMScheduler", "prediction_type": "epsilon"}
_DDIM = _SCHEDULE | {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
_EULER = _SCHEDULE | {
    "_class_name": "EulerDiscreteScheduler", "prediction_type": "epsilon", "timestep_spacing": "leading",
    "interpolation_type": "linear", "use_karras_sigmas": False, "sample_max_value": 1.0,
}  # fmt: skip
_VAE = {
    "_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512], "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "layers_per_block": 2,
    "norm_num_groups": 32, "sample_size": 512, "scaling_factor": 0.18215,
}  # fmt: skip
_UNET = {
    "_class_name": "UNet2DConditionModel", "sample_size": 64, "layers_per_block": 2, "norm_num_groups": 32,
    "block_out_channels": [320, 640, 1280, 1280], "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}  # fmt: skip
_UNET_2 = _UNET | {
    "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True,
}  # fmt: skip
_UNET_XL = _UNET | {
    "sample_size": 128, "block_out_channels": [320, 640, 1280], "attention_head_dim": [5, 10, 20],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 2048,
    "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip


def _clip(kind: str, width: int, layers: int, heads: int, activation: str, projection: int) -> Config:
    return {
        "architectures": [kind], "model_type": "clip_text_model", "hidden_size": width, "intermediate_size": 4 * width,
        "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_act": activation,
        "projection_dim": projection, "max_position_embeddings": 77, "vocab_size": 49408, "bos_token_id": 0,
        "eos_token_id": 2, "pad_token_id": 1,
    }  # fmt: skip


_CLIP_L = _clip("CLIPTextModel", 768, 12, 12, "quick_gelu", 768)
_CLIP_H = _clip("CLIPTextModel", 1024, 23, 16, "gelu", 512)
_CLIP_G = _clip("CLIPTextModelWithProjection", 1280, 32, 20, "gelu", 1280)
_SD2 = {"unet": _UNET_2, "vae": _VAE | {"sample_size": 768}, "text_encoder": _CLIP_H, "tokenizer": _FIRST}
LAYOUTS: dict[str, dict[str, Any]] = {  # by part; of a tokenizer the word that pads
    "sd15": {"unet": _UNET | {"cross_attention_dim": 768}, "vae": _VAE, "text_encoder": _CLIP_L, "tokenizer": _END,
             "scheduler": _PNDM},
    "sd21": _SD2 | {"scheduler": _PNDM},
    "sd21_768": _SD2 | {"unet": _UNET_2 | {"sample_size": 96}, "scheduler": _DDIM},
    "sdxl": {"unet": _UNET_XL, "vae": _VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
             "text_encoder": _CLIP_L, "text_encoder_2": _CLIP_G, "tokenizer": _END, "tokenizer_2": _FIRST,
             "scheduler": _EULER},
}  # fmt: skip
_SETTINGS = {
    "StableDiffusionPipeline": {"requires_safety_checker": False},
    "StableDiffusionXLPipeline": {"force_zeros_for_empty_prompt": True},
}


def pipeline_of(kind: str) -> str:
    """The pipeline's class, as model_index.json calls it."""
    return "StableDiffusionXLPipeline" if "text_encoder_2" in LAYOUTS[kind] else "StableDiffusionPipeline"


def write_layout(kind: str, folder: Path) -> None:
    """A folder in diffusers' layout without weights."""
    layout, pipeline = LAYOUTS[kind], pipeline_of(kind)
    index: Config = {"_class_name": pipeline, **_SETTINGS[pipeline]}
    for part, config in layout.items():
        (folder / part).mkdir(parents=True)
        if part.startswith("tokenizer"):
            _write_tokenizer(folder / part, pad=config)
            index[part] = ["transformers", "CLIPTokenizer"]
            continue
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        _write_json(folder / part / name, config)
        is_clip = "architectures" in config
        index[part] = ["transformers", config["architectures"][0]] if is_clip else ["diffusers", config["_class_name"]]
    _write_json(folder / "model_index.json", index)


def _write_tokenizer(folder: Path, pad: str) -> None:
    merges = gzip.decompress(_MERGES.read_bytes()).decode()
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    letters = _letters()
    pairs = [line.replace(" ", "") for line in merges.splitlines()[1:]]
    words = [*letters, *(letter + "</w>" for letter in letters), *pairs, _START, _END]
    _write_json(folder / "vocab.json", {word: number for number, word in enumerate(words)})
    config = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": pad, "model_max_length": 77}
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "do_lower_case": True, **config})


def _letters() -> list[str]:
    """The letters that stand for the 256 bytes, in CLIP's order: those that are printed stand for themselves."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("\u00a1"), ord("\u00ac") + 1),
               *range(ord("\u00ae"), ord("\u00ff") + 1)]  # fmt: skip
    return [*map(chr, printed), *(chr(256 + number) for number in range(256 - len(printed)))]


def _write_json(path: Path, content: Config) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
