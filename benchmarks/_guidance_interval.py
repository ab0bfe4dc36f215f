"""Guidance at the middle noise levels alone (Kynkaanniemi et al. 2024, arXiv:2404.07724): a step outside them is one
pass of the network in place of two."""

from collections.abc import Sequence

import numpy as np
import torch

from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler, to_gray
from cxr.diffusion.stable_diffusion import StableDiffusion


class IntervalSampler(Sampler):
    """A `Sampler` of Stable Diffusion by DPM-Solver++, guided from the first to before the last of `guided` steps."""

    model: StableDiffusion

    def __init__(self, model: StableDiffusion, config: SamplerConfig, guided: range) -> None:
        super().__init__(model, config)
        self.guided = guided

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[str], negatives: Sequence[str], seeds: Sequence[int], steps: int | None = None
    ) -> np.ndarray:
        pipe, config = self.model.solver, self.config
        told, without = (self.model.encode_texts(texts) for texts in (prompts, negatives))
        both = torch.cat([without, told])
        latents = self.noise([torch.Generator().manual_seed(seed) for seed in seeds])
        pipe.scheduler.set_timesteps(steps or config.steps)
        for number, time in enumerate(pipe.scheduler.timesteps):
            if number in self.guided:
                unguided, predicted = self.model.predict(latents.repeat(2, 1, 1, 1), time, both).chunk(2)
                predicted = unguided + config.guidance * (predicted - unguided)
            else:
                predicted = self.model.predict(latents, time, told)
            latents = pipe.scheduler.step(predicted, time, latents).prev_sample
        pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        return to_gray(pipe.image_processor.postprocess(pixels, output_type="pt"))
