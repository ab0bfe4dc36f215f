"""Claim: the LoRA recipes of the large models fit the GPUs that docs/models.md names, as computed without weights.

Networks of the published configurations are built without memory (torch's device meta), in bf16 with the recipe's LoRA,
and what autograd keeps of one picture's forward pass is added up, attention by a fused kernel. The CUDA context and
what kernels take for a moment are one guess (`BESIDE`). Nothing of this was measured on a GPU.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import PixArtTransformer2DModel, SanaTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from cxr import recipes
from cxr.weights.families import FAMILIES

GB, BESIDE = 1e9, 1.5e9
NAMED = {"sdxl": 24, "sd35_medium": 24, "pixart_sigma": 16, "sana_600m": 16}  # GB
CLIP_L, CLIP_G, T5_XXL, GEMMA_2B, KL, DC_AE = 123e6, 695e6, 4762e6, 2614e6, 84e6, 312e6  # parameters, as published
Forward = Callable[[nn.Module, int], Any]  # of a network, one picture of so many pixels a side


@dataclass(frozen=True)
class Model:
    """A published one: its network, a pass through it, and the parameters of its other networks."""

    recipe: str
    family: str
    make: Callable[[], Any]
    forward: Forward
    stay: float  # text encoders that stay in memory
    go: float  # those that are there to read texts alone
    autoencoder: float


def sdxl() -> Any:
    return UNet2DConditionModel(
        block_out_channels=(320, 640, 1280), layers_per_block=2, cross_attention_dim=2048, sample_size=128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
        transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20), addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
    )  # fmt: skip


def sd35() -> Any:
    return SD3Transformer2DModel(
        sample_size=128, num_layers=24, attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096,
        caption_projection_dim=1536, pooled_projection_dim=2048, pos_embed_max_size=384,
        dual_attention_layers=tuple(range(13)), qk_norm="rms_norm",
    )  # fmt: skip


def pixart() -> Any:
    return PixArtTransformer2DModel(
        sample_size=128, caption_channels=4096, use_additional_conditions=False, interpolation_scale=2
    )


def sana() -> Any:
    return SanaTransformer2DModel(
        num_layers=28, num_attention_heads=36, attention_head_dim=32, num_cross_attention_heads=16,
        cross_attention_head_dim=72, cross_attention_dim=1152, caption_channels=2304, sample_size=16,
    )  # fmt: skip


def pass_xl(net: nn.Module, size: int) -> Any:
    told = {"text_embeds": torch.randn(1, 1280), "time_ids": torch.zeros(1, 6)}
    return net(noise(4, size // 8), torch.zeros(1), torch.randn(1, 77, 2048), added_cond_kwargs=told)


def pass_sd35(net: nn.Module, size: int) -> Any:
    return net(noise(16, size // 8), torch.randn(1, 333, 4096), torch.randn(1, 2048), torch.zeros(1))


def pass_pixart(net: nn.Module, size: int) -> Any:
    told = {"resolution": None, "aspect_ratio": None}
    return net(noise(4, size // 8), torch.randn(1, 300, 4096), torch.zeros(1), added_cond_kwargs=told)


def pass_sana(net: nn.Module, size: int) -> Any:
    return net(noise(32, size // 32), torch.randn(1, 300, 2304), torch.zeros(1))


def noise(channels: int, side: int) -> Tensor:
    return torch.randn(1, channels, side, side)


MODELS = {
    "sdxl": Model("lora_sdxl_a100", "StableDiffusionXLPipeline", sdxl, pass_xl, CLIP_L + CLIP_G, 0, KL),
    "sd35_medium": Model(
        "lora_sd35_a100", "StableDiffusion3Pipeline", sd35, pass_sd35, 0, CLIP_L + CLIP_G + T5_XXL, KL
    ),
    "pixart_sigma": Model("lora_pixart_a100", "PixArtSigmaPipeline", pixart, pass_pixart, 0, T5_XXL, KL),
    "sana_600m": Model("lora_sana_a100", "SanaPipeline", sana, pass_sana, 0, GEMMA_2B, DC_AE),
}


class FusedAttention(torch.autograd.Function):
    """Keeps what a fused kernel keeps: queries, keys, values and the result, but no matrix of weights."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


def kept_bytes(forward: Callable[[], Any], parameters: Iterable[nn.Parameter]) -> int:
    """What a forward pass keeps for the backward one, each storage once."""
    own = {parameter.untyped_storage()._cdata for parameter in parameters}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in own:
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = forward()
    del out
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def compute(model: Model) -> dict[str, float]:
    """Bytes at each stage of the recipe, with one worker."""
    config = recipes.FINETUNE[model.recipe]()
    layers = next(iter(FAMILIES[model.family].trained.values()))
    with torch.device("meta"):
        net = model.make().requires_grad_(False)
        count = sum(tensor.numel() for tensor in (*net.parameters(), *net.buffers()))
        inject_adapter_in_model(LoraConfig(r=config.rank, target_modules=list(layers)), net)
        lora = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
        whole = kept_bytes(lambda: model.forward(net, config.size), net.parameters())
        blocks = 1
        if config.gradient_checkpointing:
            net.train()
            net.enable_gradient_checkpointing()
            marked = sum(getattr(module, "gradient_checkpointing", False) for module in net.modules())
            blocks = max(marked, len(getattr(net, "transformer_blocks", ())))  # computed anew one at a time
        inputs = kept_bytes(lambda: model.forward(net, config.size), net.parameters()) if blocks > 1 else 0
    beside = 4 * model.autoencoder + BESIDE
    trained = 2 * count + 16 * lora + 2 * model.stay + beside  # a LoRA, its gradient and AdamW's two means are float32
    return {
        "parameters": count,
        "loaded": 4 * (count + model.stay) + beside,
        "texts are read": trained + 2 * model.go,
        "trained": trained + config.batch * (inputs + whole / blocks),
        "sampled": 2 * (count + model.stay + model.autoencoder) + BESIDE,
    }


def main() -> None:
    torch.set_default_dtype(torch.bfloat16)
    torch.nn.functional.scaled_dot_product_attention = lambda query, key, value, *_, **__: FusedAttention.apply(
        query, key, value
    )
    fullest = 0.0
    for name, model in MODELS.items():
        found = compute(model)
        most = max(found[stage] for stage in ("loaded", "texts are read", "trained"))
        fullest = max(fullest, most / (NAMED[name] * GB))
        stages = ", ".join(f"{stage} {size / GB:.1f}" for stage, size in found.items())
        print(f"{name} ({model.recipe}): GB {stages}; of {NAMED[name]}")
    print(f"{'claim holds' if fullest < 1 else 'claim missed'}: at most {fullest:.0%} of a GPU's memory")


if __name__ == "__main__":
    main()
