"""What fine-tuning would make. How fast a step is depends on the machine, and only steps tell."""

from collections import Counter

from cxr.finetune.job import FinetuneJob, count_steps
from cxr.report.forecast import Forecast


def forecast(job: FinetuneJob) -> Forecast:
    config, steps = job.config, {run: count_steps(job, run) for run in job.runs}
    parts, rows = Counter(job.plan["split"].to_pylist()), config.batch * config.accumulation
    captions = len(set(job.plan["caption"].to_pylist()))
    what = f"a LoRA of rank {config.rank}" if config.method == "lora" else "a whole model"
    folds = f" and {len(steps) - 1} folds" if len(steps) > 1 else ""
    passes = sum(steps.values()) * rows
    return Forecast(
        f"{parts['train']:,} training and {parts['validation']:,} validation pictures with {captions:,} different "
        f"captions, and the model {job.model.spec}",
        f"{what} for {job.model.spec}{folds}: {sum(steps.values()):,} steps of {rows} pictures at {config.size} px, "
        f"validated every {config.validate_every}",
        f"{passes:,} passes of a picture through the network and back; for a model of Stable Diffusion's size a GPU",
    )
