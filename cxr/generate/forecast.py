"""What generating would make and take, without making it."""

from cxr.diffusion.config import SamplerConfig
from cxr.generate.job import GenerateJob
from cxr.report.forecast import Forecast, about, count_words

BYTES_A_PIXEL = 0.5  # of a PNG of an X-ray, about: 0.47 on real ones at 512 px


def forecast(job: GenerateJob) -> Forecast:
    """What the job would make; samples two short batches to time them, and stores nothing."""
    from cxr.diffusion.sampler import Sampler
    from cxr.ranks import device_name

    plan, config = job.plan, job.config
    most = " at most" if job.judge else ""
    sampler = Sampler.load(job.model.path, job.lora.path if job.lora else None, config.sampler)
    seconds = sampler.seconds_an_image() * plan.images
    size = config.sampler.size**2 * BYTES_A_PIXEL * plan.images
    return Forecast(
        f"the model {job.model.spec}" + (f" with the LoRA {job.lora.spec}" if job.lora else ""),
        f"{plan.images} images{most} in {plan.units} units, {len(plan.findings)} findings "
        f"({count_words(plan.findings)}), {config.sampler.size} px, seed {config.seed}",
        f"about {size / 1e6:.1f} MB",
        f"{about(seconds)} on one worker like this machine's ({device_name()}), as two short batches took: "
        f"{describe_passes(config.sampler)}",
        seconds,
    )


def describe_passes(config: SamplerConfig) -> str:
    """What of a picture's time counts most."""
    return f"{config.passes} passes through the denoiser a picture, of {config.steps} steps" + (
        " with guidance" if config.guidance > 1 else ""
    )
