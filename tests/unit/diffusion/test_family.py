"""Which family a folder is of: found by its index, without a heavy import; a second one is a class and an entry."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.family import DiffusionModel, family_of
from cxr.diffusion.precision import pick_dtype
from cxr.diffusion.sampler import Sampler
from cxr.weights import families
from cxr.weights.kinds import check_index

LIGHT = """
import sys
from cxr.diffusion.family import family_of
from cxr.weights.families import FAMILIES
from cxr.weights.found import TINY
family = family_of(TINY)
assert family.__name__ == "StableDiffusion" and family.count_too_long(TINY, ["normal", "word " * 100]) == 1
assert not {"torch", "diffusers", "peft"} & set(sys.modules)
"""


class Gray(DiffusionModel):
    """Shows its noise."""

    device = torch.device("cpu")

    @classmethod
    def load(cls, folder, dtype, lora=None, lora_scale=1.0):
        return cls()

    def latent_shape(self, height, width):
        return 3, height, width

    def speed_up(self, compile, cuda_graphs):
        pass

    def sample(self, prompts, negatives, noise, size, steps, guidance):
        return noise.sigmoid()


def test_a_second_family_is_a_class_and_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = {"_class_name": "GrayPipeline", "unet": ["diffusers", "Gray"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    entry = families.Family("Gray", f"{__name__}:Gray", {"unet": ("Gray",)}, {"unet": ()})
    monkeypatch.setitem(families.FAMILIES, "GrayPipeline", entry)
    check_index(index, tmp_path)
    assert family_of(tmp_path).__name__ == "Gray"
    sampler = Sampler.load(tmp_path, None, SamplerConfig(size=64, batch=2))
    pictures = sampler(["a"] * 3, [""] * 3, [0, 1, 0])
    assert pictures.shape == (3, 64, 64) and (pictures[0] == pictures[2]).all() and (pictures[0] != pictures[1]).any()


def test_a_family_is_found_and_counts_words_without_heavy_imports() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


def test_a_cpu_computes_in_full_precision_unless_it_is_told() -> None:
    cpu = torch.device("cpu")
    assert pick_dtype("auto", "sample", cpu) == pick_dtype("auto", "train", cpu) == torch.float32
    assert pick_dtype("bf16", "train", cpu) == torch.bfloat16


def test_auto_on_a_gpu_is_fp16_to_sample_and_bf16_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    for has_bf16, train in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has_bf16: has)
        assert pick_dtype("auto", "sample", gpu) == torch.float16 and pick_dtype("auto", "train", gpu) == train
