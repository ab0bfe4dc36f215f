"""What the families share: an autoencoder's latents are noised, and one network of a pipeline denoises them."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from cxr.diffusion.config import AdapterConfig, Solver
from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.layers import read_json
from cxr.diffusion.lora_files import Lora, read_lora
from cxr.errors import BadInput
from cxr.tables import batched
from cxr.weights.families import FAMILIES
from cxr.weights.kinds import INDEX

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from cxr.diffusion.first_order import FirstOrder
    from cxr.diffusion.noising import Noising

TEXTS_AT_ONCE = 1024


class LatentDiffusion(DiffusionModel):
    """A pipeline of diffusers with its networks in memory.

    A family adds `check_files`, `count_too_long`, `encode_texts`, `sample` and `predict`, and what else is its own.
    """

    denoiser: ClassVar[str]  # the part that is trained, as the pipeline calls it
    without: ClassVar[dict[str, Any]] = {}  # what of the pipeline is left out

    def __init__(self, pipe: Any) -> None:
        self.pipe, self.device = pipe, pipe.device
        self.solvers: dict[Solver, Any] = {}

    @staticmethod
    def check_size(folder: Path, size: int) -> None:
        factor = pixels_a_step(folder)
        if size % factor:
            raise BadInput(f"--size {size}: the model's autoencoder needs a multiple of {factor}")

    @staticmethod
    def check_method(config: AdapterConfig) -> None:
        """Any part can be trained by any method."""

    @staticmethod
    def read_lora(folder: Path, path: Path) -> Lora:
        return read_lora(path, folder)

    @classmethod
    def load(cls, folder: Path, dtype: "torch.dtype", lora: Lora | None = None, lora_scale: float = 1.0) -> Self:
        return cls(load_pipeline(folder, dtype, cls.without, lora, lora_scale))

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        factor = self.pipe.vae_scale_factor
        return self.pipe.vae.config.latent_channels, height // factor, width // factor

    def speed_up(self, compile: bool, cuda_graphs: bool) -> None:
        import torch

        from cxr.diffusion.gpu import DECODED_AT_ONCE, decode_in_parts, graph_calls

        network, gpu = getattr(self.pipe, self.denoiser), self.device.type == "cuda"
        for part in (network, self.pipe.vae):
            part.to(memory_format=torch.channels_last)
        decode_in_parts(self.pipe.vae, DECODED_AT_ONCE[self.device.type])
        if compile:  # torch then records graphs itself
            mode = "reduce-overhead" if gpu and cuda_graphs else None
            setattr(self.pipe, self.denoiser, torch.compile(network, fullgraph=True, mode=mode))
        elif gpu and cuda_graphs:
            graph_calls(network)

    @property
    def solver(self) -> Any:
        """The same networks with DPM-Solver++ in place of the folder's scheduler."""
        return self.with_solver("dpm")

    def with_solver(self, solver: Solver) -> Any:
        """The same networks with this solver in place of the folder's scheduler."""
        from cxr.diffusion.solvers import make_scheduler

        if solver not in self.solvers:
            parts = {**self.pipe.components, "scheduler": make_scheduler(solver, self.pipe.scheduler.config)}
            settings = {name: value for name, value in self.without.items() if name not in self.pipe.components}
            self.solvers[solver] = type(self.pipe)(**parts, **settings)
            self.solvers[solver].set_progress_bar_config(disable=True)
        return self.solvers[solver]

    def sample_by(
        self, solver: Solver, generators: "Sequence[torch.Generator]", prompts: Sequence[str], negatives: Sequence[str],
        noise: "Tensor", size: int, steps: int, guidance: float,
    ) -> "Tensor":  # fmt: skip
        raise NotImplementedError  # `FAMILIES` tells whose models can

    @cached_property
    def first_order(self) -> "FirstOrder":
        from cxr.diffusion.first_order import FirstOrder
        from cxr.diffusion.noising import Denoising

        if not isinstance(self.noising, Denoising):
            raise NotImplementedError  # rectified flows are not distilled here
        return FirstOrder(self.noising.schedule)

    def predict_velocity(self, latents: "Tensor", levels: "Tensor", states: "Tensor") -> "Tensor":
        return self.first_order.velocity(latents, levels, self.predict(latents, levels, states))

    def make_trainable(self, config: AdapterConfig, lora_seed: Callable[[int], int]) -> "dict[str, nn.Parameter]":
        from cxr.diffusion.adapters import make_trainable

        return make_trainable(self.pipe, config, lora_seed)

    @property
    def networks(self) -> "tuple[nn.Module, ...]":
        return tuple(getattr(self.pipe, name) for name in FAMILIES[type(self.pipe).__name__].trained)

    @property
    def text_is_frozen(self) -> bool:
        _, *encoders = self.networks
        return not any(parameter.requires_grad for encoder in encoders for parameter in encoder.parameters())

    @cached_property
    def noising(self) -> "Noising":
        from cxr.diffusion.noising import Denoising

        return Denoising(self.pipe.scheduler.config)

    @property
    def timesteps(self) -> int:
        return self.noising.timesteps

    def draw_time(self, generator: "torch.Generator") -> int:
        return self.noising.draw_time(generator)

    def encode_images(self, pixels: np.ndarray) -> "Tensor":
        import torch

        from cxr.diffusion.latents import latent_moments

        with torch.autocast(self.device.type, enabled=False):
            return torch.stack(latent_moments(self.pipe.vae, pixels), 1)

    def encode_ahead(self, texts: Iterable[str], negatives: Iterable[str] = ()) -> "dict[str, Tensor]":
        return {}

    def scale(self, latents: "Tensor") -> "Tensor":
        """Latents as the denoiser takes them."""
        config = self.pipe.vae.config
        return (latents - (getattr(config, "shift_factor", None) or 0)) * config.scaling_factor

    def predict(self, latents: "Tensor", times: "Tensor", states: "Tensor") -> "Tensor":
        """What the denoiser says, float32 [B, C, h, w]; `times` as training counts them."""
        raise NotImplementedError

    def denoising_errors(
        self, moments: "Tensor", draw: "Tensor", noise: "Tensor", times: "Tensor", states: "Tensor"
    ) -> "Tensor":
        mean, std = moments.unbind(1)
        latents = self.scale(mean + std * draw)
        noisy, target = (how(latents, noise, times) for how in (self.noising.add_noise, self.noising.target))
        return (self.predict(noisy, times, states) - target).square().mean(dim=(1, 2, 3))

    def predict_clean_noise(self, moments: "Tensor", states: "Tensor") -> "Tensor":
        latents = self.scale(moments[:, 0])
        return self.noising.clean_noise(latents, self.predict(latents, states.new_zeros(len(latents)).long(), states))

    def save(self, config: AdapterConfig, folder: Path) -> None:
        from cxr.diffusion.adapters import save_lora
        from cxr.weights import strip_local_paths

        if config.trains_lora:
            save_lora(self.pipe, config, folder)
        else:
            pipe = self.with_solver("ddim") if config.distills else self.pipe
            pipe.save_pretrained(folder, safe_serialization=True)
            strip_local_paths(folder)


def load_pipeline(
    folder: Path, dtype: "torch.dtype", without: dict[str, Any], lora: Lora | None, lora_scale: float
) -> Any:
    """The pipeline of a verified folder on this process's device, with a LoRA added to its weights."""
    import diffusers

    from cxr.diffusion.adapters import add_lora
    from cxr.diffusion.precision import own_device

    silence_libraries()
    kind = getattr(diffusers, read_json(folder / INDEX)["_class_name"])
    pipe = kind.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True, **without)
    pipe.set_progress_bar_config(disable=True)
    if lora:
        add_lora(pipe, lora, lora_scale)
    return pipe.to(own_device())


def silence_libraries() -> None:
    """A job shows progress of its own, and tells itself what of a model does not fit."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    for logging in (of_diffusers, of_transformers):
        logging.disable_progress_bar()
        logging.set_verbosity_error()


def pixels_a_step(folder: Path) -> int:
    """What a picture's side has to be a multiple of, by the autoencoder and the denoiser's patches."""
    vae = read_json(folder / "vae" / "config.json")
    steps = len(vae.get("encoder_block_out_channels") or vae["block_out_channels"]) - 1
    transformer = folder / "transformer" / "config.json"
    return 2**steps * (read_json(transformer).get("patch_size", 1) if transformer.is_file() else 1)


def count_longer(tokenizer: Path, kind: str, most: int | None, texts: Iterable[str]) -> int:
    """How many texts have more tokens than `most`, or than the tokenizer in a folder says of itself."""
    import transformers

    read = getattr(transformers, kind).from_pretrained(tokenizer, local_files_only=True)
    most = most or read.model_max_length
    lengths = (read(group, truncation=False, verbose=False).input_ids for group in batched(texts, TEXTS_AT_ONCE))
    return sum(len(ids) > most for group in lengths for ids in group)


def pack(tensors: "Sequence[Tensor]") -> "Tensor":
    """[B, ...] each, as one row of numbers for each text."""
    import torch

    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)


def unpack(states: "Tensor", shapes: Sequence[tuple[int, ...]]) -> "list[Tensor]":
    """What `pack` was given; shapes are without B, and -1 stands for the one length that is not known."""
    sizes = [int(np.prod([side for side in shape if side != -1])) for shape in shapes]
    rest = states.shape[1] - sum(size for size, shape in zip(sizes, shapes, strict=True) if -1 not in shape)
    sizes = [rest if -1 in shape else size for size, shape in zip(sizes, shapes, strict=True)]
    parts = states.split(sizes, 1)
    return [part.view(len(states), *shape) for part, shape in zip(parts, shapes, strict=True)]
