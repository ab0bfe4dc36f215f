"""What is for GPUs alone, where none is: calls that are recorded and replayed, and a decoder that takes few at a time.

The recorder here keeps to a CUDA graph's rules: it runs the work once, and a replay does the same on the same tensors
and writes over the same results. tests/gpu has the real one.
"""

from pathlib import Path

import numpy as np
import torch
from torch.utils._pytree import tree_flatten

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.gpu import GraphedCalls, decode_in_parts, graph_calls
from cxr.diffusion.sampler import Sampler

CONFIG = SamplerConfig(size=64, steps=2, batch=3, guidance=3.0)
PROMPTS, NO = [f"chest x-ray with {i} bars" for i in range(4)], [""] * 4


class Recorder:
    """Counts what it records."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work):
        self.recorded += 1
        outputs = work()

        def replay() -> None:
            self.replayed += 1
            for kept, anew in zip(tree_flatten(outputs)[0], tree_flatten(work())[0], strict=True):
                if isinstance(kept, torch.Tensor):
                    kept.copy_(anew)

        return replay, outputs


def test_a_recorded_call_gives_what_the_call_gives(folder: Path) -> None:
    plain, graphed, recorder = Sampler.load(folder, None, CONFIG), Sampler.load(folder, None, CONFIG), Recorder()
    graph_calls(getattr(graphed.model.pipe, graphed.model.denoiser), recorder)
    for seeds in (range(4), range(7, 11)):
        assert np.array_equal(graphed(PROMPTS, NO, seeds), plain(PROMPTS, NO, seeds))
    assert recorder.recorded == 1 and recorder.replayed == 2 * 2 * CONFIG.steps  # calls, batches, steps


def double_first(pair: tuple, *, plus: float = 0.0, times=None):
    first, second = pair
    return {"double": 2 * first + plus, "second": second}, times


def test_results_stay_when_the_call_is_repeated_and_other_arguments_are_recorded_anew() -> None:
    recorder = Recorder()
    call = GraphedCalls(double_first, torch.device("cpu"), recorder)
    one, two = torch.ones(2), torch.full((2,), 2.0)
    first, _ = call((one, two))
    second, _ = call((two, one))
    assert first["double"].tolist() == [2, 2] and first["second"].tolist() == [2, 2]
    assert second["double"].tolist() == [4, 4] and one.tolist() == [1, 1]
    assert recorder.recorded == 1
    assert call((one, two), plus=1.0)[0]["double"].tolist() == [3, 3]
    assert call((one, two), times=one)[1].tolist() == [1, 1]
    assert call((torch.ones(3), two))[0]["double"].tolist() == [2, 2, 2]
    assert call((one.double(), two))[0]["double"].dtype == torch.float64
    assert recorder.recorded == 5


def test_pictures_that_are_decoded_in_parts_are_the_same(folder: Path) -> None:
    whole, parts = Sampler.load(folder, None, CONFIG), Sampler.load(folder, None, CONFIG)
    autoencoder, seen = parts.model.pipe.vae, []
    forward = autoencoder.decoder.forward
    autoencoder.decoder.forward = lambda latents, *rest: seen.append(len(latents)) or forward(latents, *rest)
    decode_in_parts(autoencoder, 2)
    pictures = [sampler(PROMPTS[:3], NO[:3], range(3)).astype(int) for sampler in (whole, parts)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert seen == [2, 1]
    latents = torch.zeros(3, *parts.model.latent_shape(64, 64))
    assert autoencoder.decode(latents).sample.shape == autoencoder.decode(latents, return_dict=False)[0].shape


def test_cuda_graphs_are_part_of_the_recipe_where_they_are_asked_for() -> None:
    assert "cuda_graphs" not in CONFIG.model_dump()
    assert SamplerConfig(cuda_graphs=True).model_dump()["cuda_graphs"] is True
