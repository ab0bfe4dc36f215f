"""The schedulers of diffusers behind the names of solvers."""

from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler

from cxr.diffusion.config import Solver


def make_scheduler(solver: Solver, config: Any) -> Any:
    """The solver on the noise schedule of a folder's scheduler.

    Args:
        config: of that scheduler.
    """
    if solver == "dpm":  # arXiv:2211.01095
        return DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++")
    if solver == "lcm":  # arXiv:2310.04378
        return LCMScheduler.from_config(config, clip_sample=False)
    return DDIMScheduler.from_config(  # arXiv:2010.02502; steps begin at the highest level and end without noise
        config, timestep_spacing="trailing", set_alpha_to_one=True, clip_sample=False
    )
