"""What the stages ask of a diffusion model, whatever its family; and which family a folder is of."""

import contextlib
import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from cxr.artifact import library_versions
from cxr.diffusion.config import AdapterConfig, Solver
from cxr.diffusion.lora_files import Lora
from cxr.errors import BadInput
from cxr.store import sha256
from cxr.store.file_cache import cache_folder
from cxr.weights.families import FAMILIES
from cxr.weights.kinds import INDEX
from cxr.weights.names import ALIASES

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from cxr.diffusion.first_order import FirstOrder
    from cxr.weights.found import Weights


class DiffusionModel(Protocol):
    """A model that is loaded. A family is a subclass; its static methods answer from a model's files alone, and load
    neither torch nor diffusers for it where they can do without.

    Latents are [B, C, h, w], pictures uint8 [B, H, W]. The networks stay the same objects while they are trained, so
    that what is sampled meanwhile is the model in training.
    """

    device: "torch.device"

    @staticmethod
    def check_files(folder: Path) -> None:
        """`BadInput` unless all networks of the folder can be loaded, fit together, and hold numbers alone."""

    @staticmethod
    def check_size(folder: Path, size: int) -> None:
        """`BadInput` unless pictures of `size` px can be encoded."""

    @staticmethod
    def check_method(config: AdapterConfig) -> None:
        """`BadInput` unless the family can be trained so."""

    @staticmethod
    def count_too_long(folder: Path, texts: Iterable[str]) -> int:
        """How many texts have more tokens than the text encoder takes; of several encoders, the one that takes most."""

    @staticmethod
    def read_lora(folder: Path, path: Path) -> Lora:
        """The LoRA in the file `path`; `BadInput` unless it fits this model."""

    @classmethod
    def load(cls, folder: Path, dtype: "torch.dtype", lora: Lora | None = None, lora_scale: float = 1.0) -> Self:
        """The model of a verified folder on this process's device, with a LoRA added to its weights.

        The safety checker stays off: it was made for photographs and blanks X-rays.
        """

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """[C, h, w] of a picture."""

    def speed_up(self, compile: bool, cuda_graphs: bool) -> None:
        """Readies the networks for sampling alone, as `SamplerConfig` has it."""

    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], noise: "Tensor", size: int, steps: int, guidance: float
    ) -> "Tensor":
        """From starting noise, float32 on the CPU, to pictures, float [B, 3, size, size] in [0, 1]."""

    def sample_by(
        self, solver: Solver, generators: "Sequence[torch.Generator]", prompts: Sequence[str], negatives: Sequence[str],
        noise: "Tensor", size: int, steps: int, guidance: float,
    ) -> "Tensor":  # fmt: skip
        """The same by another solver; of families whose entry has it.

        Args:
            generators: of each picture, on the CPU, for solvers that draw more noise.
        """
        raise NotImplementedError

    @property
    def first_order(self) -> "FirstOrder":
        """First-order steps on the model's noise schedule; of families that can be distilled."""
        raise NotImplementedError

    def predict_velocity(self, latents: "Tensor", levels: "Tensor", states: "Tensor") -> "Tensor":
        """What the denoiser says of latents at noise levels, int64 [B], as a velocity: float32 [B, C, h, w].

        Args:
            states: of `encode_texts`.
        """
        raise NotImplementedError

    def encode_ahead(self, texts: Iterable[str], negatives: Iterable[str] = ()) -> "dict[str, Tensor]":
        """The states of these texts, one tensor each on the CPU, where the text encoder is too large to stay in memory:
        it is loaded, reads all that was not read before, and goes. What is encoded or sampled next needs it no more,
        as long as its texts are among these. Families with small encoders return nothing, and read texts when asked.
        """

    def make_trainable(self, config: AdapterConfig, lora_seed: Callable[[int], int]) -> "dict[str, nn.Parameter]":
        """Freezes all but what the method trains; returns that, float32, by name.

        Args:
            lora_seed: of the first weights of a LoRA, by the number of the network that it is added to.
        """

    @property
    def networks(self) -> "tuple[nn.Module, ...]":
        """Those that can be trained."""

    @property
    def text_is_frozen(self) -> bool:
        """Whether texts give the same states after every step."""

    @property
    def timesteps(self) -> int:
        """Of the noise schedule; `BadInput` if the model was trained to predict what is not known."""

    def draw_time(self, generator: "torch.Generator") -> int:
        """A time step to train at, below `timesteps`, of the family's density; times rise with the noise."""

    def encode_images(self, pixels: np.ndarray) -> "Tensor":
        """Mean and standard deviation of the latents, float32 [B, 2, C, h, w], always in full precision."""

    def encode_texts(self, texts: Sequence[str]) -> "Tensor":
        """All that the denoiser is told of each text, one row a text, cut or padded to the encoder's length."""

    def denoising_errors(
        self, moments: "Tensor", draw: "Tensor", noise: "Tensor", times: "Tensor", states: "Tensor"
    ) -> "Tensor":
        """The training target: mean squared error of what is predicted for each row, float32 [B].

        Args:
            moments: of `encode_images`.
            draw: normal, as `noise`: makes latents of moments.
            times: int64 [B], below `timesteps`.
            states: of `encode_texts`.
        """

    def predict_clean_noise(self, moments: "Tensor", states: "Tensor") -> "Tensor":
        """The noise that is seen at the first time step in latents without any, the means of moments: float32
        [B, C, h, w]. Args as `denoising_errors`."""

    def save(self, config: AdapterConfig, folder: Path) -> None:
        """Writes what `generate` takes: a folder in float32 for `--model`, or LoRA files for `--lora`."""


def family_of(folder: Path) -> type[DiffusionModel]:
    """Who loads a verified model folder."""
    module, _, name = FAMILIES[json.loads((folder / INDEX).read_bytes())["_class_name"]].model.partition(":")
    return getattr(importlib.import_module(module), name)


def check_solver(folder: Path, solver: Solver, option: str) -> None:
    """`BadInput` unless models of a verified folder's family are sampled by this solver, which an option asks for."""
    family = FAMILIES[json.loads((folder / INDEX).read_bytes())["_class_name"]]
    if solver not in family.solvers:
        able = ", ".join(other.name for other in FAMILIES.values() if solver in other.solvers)
        raise BadInput(f"{option}: is not for {family.name}, only for {able}; leave it out, or give such a model")


def check_networks(found: "Weights") -> None:
    """`BadInput` unless all parts load and fit together, and every weight is a number. Remembered by digest."""
    if found.source == "embedded" or (found.spec in ALIASES and ALIASES[found.spec].sha256):
        return  # checked against published digests
    checked = json.dumps([found.digest, library_versions()], sort_keys=True)
    memory = cache_folder() / "checked" / sha256(checked.encode())[:32]
    if memory.is_file():
        return
    family_of(found.path).check_files(found.path)
    with contextlib.suppress(OSError):  # no writable cache: look again next time
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.touch()
