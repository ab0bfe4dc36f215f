"""Distilled models: they are sampled as they were distilled, or not at all."""

from cxr.diffusion.config import SOLVERS, SamplerConfig
from cxr.errors import BadInput
from cxr.weights import Weights

MOST_LCM_STEPS = 50  # of the way that latent consistency models were distilled from (arXiv:2310.04378)


def match_sampler(
    sampler: SamplerConfig, usual: SamplerConfig | None, model: Weights, lora: Weights | None
) -> tuple[SamplerConfig, list[str]]:
    """The settings with which these weights can be sampled, and lines about what was set.

    Args:
        usual: what nobody has chosen, as the recipe has it; None: all was chosen.

    Raises:
        BadInput: others were chosen than the model or LoRA was distilled for.
    """
    if sampler.solver == "lcm" and sampler.steps > MOST_LCM_STEPS:
        raise BadInput(f"--steps {sampler.steps}: --solver lcm takes {MOST_LCM_STEPS} at most, and needs 2 to 8")
    distilled = lora if lora and lora.few_steps else model
    few = distilled.few_steps
    if few is None:
        return sampler, []
    wanted = {"steps": few.steps, "guidance": 1.0, "solver": few.solver}
    told = (
        f"{distilled.spec} was distilled for {few.steps} steps of one pass each, with guidance {few.guidance:g} in its "
        "weights"
    )
    for name, value in wanted.items():
        given = getattr(sampler, name)
        if given != value and (usual is None or given != getattr(usual, name)):
            raise BadInput(f"--{name} {given}: {told}; leave --{name} out")
    return sampler.model_copy(update=wanted), [f"{told}, so it is sampled so, by {SOLVERS[few.solver]}"]
