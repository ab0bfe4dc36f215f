"""The sampler on a GPU beside the stock pipeline of diffusers, at Stable Diffusion 1.5's shape with random weights."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _gpu_figures import Figures
from _sd15_shape import PROMPT, Shape, save_pipeline
from _side_by_side import side_by_side
from diffusers import StableDiffusionPipeline
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cxr.data.images import encode_png
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler

CUDA = torch.cuda.is_available()
FEW_STEPS = 4
TURNS = {1: 5}  # of other batches 2


@dataclass(frozen=True)
class SamplerBench:
    """Measures with one pipeline, which the folder keeps."""

    shape: Shape
    folder: Path

    @property
    def model(self) -> Path:
        folder = self.folder / "model"
        if not (folder / "model_index.json").exists():
            save_pipeline(self.shape, folder)
        return folder

    def batch(self, number: int) -> int:
        """The smallest batch (0) or the largest (-1)."""
        return self.shape.batches[number]

    def config(self, batch: int, **options: object) -> SamplerConfig:
        return SamplerConfig(size=self.shape.size, steps=self.shape.steps, batch=batch).model_copy(update=options)

    def against_stock(self, number: int, **options: object) -> Figures:
        """Pictures a second, encoded as PNG, ours with these options of the sampler."""
        config = self.config(self.batch(number), **options)
        sampler = Sampler.load(self.model, None, config)
        stock = Stock(self.model, config)
        sides = side_by_side(lambda: pngs(sampler), stock, TURNS.get(config.batch, 2))
        rates = [config.batch / seconds for seconds in (sides.our_median, sides.their_median)]
        share = rates[0] * flop_an_image(stock.pipe, config) / matmul_peak(self.shape.matrix)
        return Figures(rates[0], rates[1], "images/s", f"batch {config.batch}, {config.steps} steps, {config.size} px; "
                       f"{share:.0%} of the measured bf16 matmul peak")  # fmt: skip

    def few_steps(self) -> Figures:
        """As a distilled model samples: few steps, one pass each."""
        return self.against_stock(-1, steps=FEW_STEPS, guidance=1.0, solver="ddim")

    def same_again(self) -> Figures:
        """Pictures of a newly loaded sampler, and of one with CUDA graphs: how far from the first one's."""
        batch = self.batch(0)
        made = [
            Sampler.load(self.model, None, self.config(batch, cuda_graphs=graphs))(
                [PROMPT] * batch, [""] * batch, range(batch)
            )
            for graphs in (False, False, True)
        ]
        again, graphed = (int(np.abs(made[0].astype(int) - other).max()) for other in made[1:])
        return Figures(again, None, "gray levels", f"at most, made again; with CUDA graphs {graphed}")

    def peak(self) -> Figures:
        """The machine's limit."""
        return Figures(matmul_peak(self.shape.matrix) / 1e12, None, "TFLOP/s", f"bf16 matmul of {self.shape.matrix}")


class Stock:
    """The pipeline as diffusers loads it in half precision, a batch of prompts a call, Pillow's PNG."""

    def __init__(self, folder: Path, config: SamplerConfig) -> None:
        self.pipe = StableDiffusionPipeline.from_pretrained(
            folder, torch_dtype=torch.float16 if CUDA else torch.float32, safety_checker=None
        ).to("cuda" if CUDA else "cpu")
        self.pipe.set_progress_bar_config(disable=True)
        self.file, self.config = folder.parent / "stock.png", config

    def __call__(self) -> None:
        config = self.config
        generators = [torch.Generator().manual_seed(seed) for seed in range(config.batch)]
        made = self.pipe(
            [PROMPT] * config.batch, num_inference_steps=config.steps, guidance_scale=config.guidance,
            generator=generators,
        )  # fmt: skip
        for picture in made.images:
            picture.save(self.file)


def pngs(sampler: Sampler) -> list[bytes]:
    batch = sampler.config.batch
    return [encode_png(picture) for picture in sampler([PROMPT] * batch, [""] * batch, range(batch))]


def matmul_peak(side: int) -> float:
    """FLOP/s of the fastest of ten bf16 products of two square matrices."""
    device = "cuda" if CUDA else "cpu"
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / min(seconds_of(lambda: (a @ b)[0, 0].item()) for _ in range(10))


def seconds_of(work: Callable[[], object]) -> float:
    """The work must wait for the device."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.inference_mode()
def flop_an_image(pipe: StableDiffusionPipeline, config: SamplerConfig) -> float:
    """Floating-point operations of UNet (twice, with guidance) and VAE; the text encoder's part is below 0.3 %."""
    like = {"device": pipe.device, "dtype": pipe.unet.dtype}
    passes, side = 2 if config.guidance > 1 else 1, config.size // 8
    latents = torch.zeros(passes, 4, side, side, **like)
    texts = torch.zeros(passes, 77, pipe.text_encoder.config.hidden_size, **like)
    with sdpa_kernel(SDPBackend.MATH):  # the counter does not know every fused attention
        with FlopCounterMode(display=False) as unet:
            pipe.unet(latents, 1, texts)
        with FlopCounterMode(display=False) as vae:
            pipe.vae.decode(latents[:1])
    return config.steps * unet.get_total_flops() + vae.get_total_flops()
