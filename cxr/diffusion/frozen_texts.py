"""Families whose text encoders are too large to stay in memory: they are loaded to read texts, and go again."""

import gc
import json
import shutil
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cxr.diffusion.config import AdapterConfig
from cxr.diffusion.latent_diffusion import LatentDiffusion, load_pipeline, pack, unpack
from cxr.diffusion.layers import read_json
from cxr.diffusion.lora_files import Lora
from cxr.errors import BadInput
from cxr.weights.kinds import INDEX

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Key = tuple[str, bool]  # a text, and whether it says what not to show


class FrozenTexts(LatentDiffusion):
    """A family adds `read_text`, and to what a `LatentDiffusion` has to add all but `encode_texts`.

    Each text is read alone, so that its states are the same whatever else is read; kept are those of the last
    `encode_ahead`.
    """

    text_parts: ClassVar[tuple[str, ...]]  # that are loaded to read texts alone

    def __init__(self, pipe: Any, folder: Path, dtype: "torch.dtype") -> None:
        super().__init__(pipe)
        self.folder, self.dtype = folder, dtype
        self.kept: dict[Key, Tensor] = {}

    @staticmethod
    def check_method(config: AdapterConfig) -> None:
        if config.train_text_encoder:
            raise BadInput("--train-text-encoder: this model's text encoders always stay as they are; leave it out")

    @classmethod
    def load(cls, folder: Path, dtype: "torch.dtype", lora: Lora | None = None, lora_scale: float = 1.0) -> Self:
        without = dict.fromkeys(cls.text_parts) | cls.without
        return cls(load_pipeline(folder, dtype, without, lora, lora_scale), folder, dtype)

    def read_text(self, reader: Any, text: str, negative: bool) -> "Sequence[Tensor]":
        """What the denoiser is told of a text, [1, ...] each, by a pipeline with text encoders."""
        raise NotImplementedError

    @cached_property
    def reader(self) -> Any:
        """The pipeline with its text encoders; on a GPU in bf16, whose range theirs needs."""
        import torch

        dtype = self.dtype if self.device.type == "cpu" else torch.bfloat16
        index = read_json(self.folder / INDEX)
        others = {
            name: part
            for name, part in self.pipe.components.items()
            if name not in self.text_parts or not (index.get(name) or [None])[0]  # None here too: the folder has none
        }
        return load_pipeline(self.folder, dtype, others | {"vae": None}, None, 1.0)

    def encode_ahead(self, texts: Iterable[str], negatives: Iterable[str] = ()) -> "dict[str, Tensor]":
        asked = [*((text, False) for text in texts), *((text, True) for text in negatives)]
        self.kept = {key: self.state(key) for key in asked}
        self.__dict__.pop("reader", None)
        gc.collect()
        return {text: state for (text, negative), state in self.kept.items() if not negative}

    def encode_texts(self, texts: Sequence[str], negative: bool = False) -> "Tensor":
        import torch

        return torch.stack([self.state((text, negative)) for text in texts]).to(self.device)

    def state(self, key: Key) -> "Tensor":
        """Of one text, on the CPU: as a hundred thousand would fill a GPU."""
        import torch

        if key in self.kept:
            return self.kept[key]
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return pack(self.read_text(self.reader, *key))[0].cpu()

    def save(self, config: AdapterConfig, folder: Path) -> None:
        super().save(config, folder)
        if config.method == "lora":
            return
        index, own = read_json(folder / INDEX), read_json(self.folder / INDEX)
        for part in self.text_parts:
            index[part] = own.get(part, [None, None])
            if index[part][0]:
                shutil.copytree(self.folder / part, folder / part)
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


class OneLongText(FrozenTexts):
    """A transformer reads one text of up to `most_tokens`, padded, and is told which of it is text."""

    most_tokens: ClassVar[int]

    def unpack(self, states: "Tensor") -> "tuple[Tensor, Tensor]":
        """What the transformer reads, [B, T, width], and which of it is text, [B, T]."""
        transformer = self.pipe.transformer
        shapes = [(self.most_tokens, transformer.config.caption_channels), (self.most_tokens,)]
        hidden, mask = unpack(states, shapes)
        return hidden.to(transformer.dtype), mask

    def pipeline_texts(self, prompts: Sequence[str], negatives: Sequence[str]) -> "dict[str, Tensor | None]":
        """The texts as arguments of diffusers' pipeline."""
        hidden, mask = self.unpack(self.encode_texts(prompts))
        no_hidden, no_mask = self.unpack(self.encode_texts(negatives, negative=True))
        return {
            "prompt_embeds": hidden, "prompt_attention_mask": mask, "negative_prompt": None,
            "negative_prompt_embeds": no_hidden, "negative_prompt_attention_mask": no_mask,
        }  # fmt: skip
