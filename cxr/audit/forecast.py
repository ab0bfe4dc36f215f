"""What an audit would attack."""

from collections import Counter

from cxr.audit.attacked import AttackedModel
from cxr.audit.finish import AuditJob
from cxr.audit.sets import why_untestable
from cxr.report.forecast import Forecast


def forecast(job: AuditJob) -> Forecast:
    config, parts = job.config, Counter(job.real.table["split"].to_pylist())
    real, synthetic = len(job.real.table), len(job.synthetic.table)
    untestable = why_untestable(job.real)
    of_set = f"no attack on the set ({untestable})" if untestable else "attacks on the set"
    of_model = "attacks on its model" if isinstance(job.attacked, AttackedModel) else f"none on a model: {job.attacked}"
    return Forecast(
        f"{parts['train']:,} training and {parts['test']:,} test pictures that are real, {synthetic:,} synthetic ones",
        f"{of_set} with {config.permutations:,} permutations a test; {of_model}; a page",
        f"{(real + synthetic) * config.size**2 / 1e6:,.0f} MB of memory for pictures; for attacks on a model of Stable "
        "Diffusion's size a GPU",
    )
