"""What an evaluation would look at."""

from collections.abc import Sequence

from cxr.evaluate.finish import EvaluateJob
from cxr.evaluate.sets import rows_of, splits_of
from cxr.report.forecast import Forecast


def forecast(job: EvaluateJob, findings: Sequence[str], without: str) -> Forecast:
    """Args:
    findings: that can be compared.
    without: why near-copies cannot be told; empty if they can.
    """
    config, real, synthetic = job.config, len(job.real.table), len(job.synthetic.table)
    compared = len(rows_of(splits_of(job.real), job.against))
    search = f"no search for near-copies ({without})" if without else "a search for near-copies"
    memory = real * config.size**2 / 1e6
    return Forecast(
        f"{real:,} real pictures, of which {compared:,} are compared with ({job.against}), and {synthetic:,} synthetic",
        f"metrics of {', '.join(findings)} and of all together, {search}, a page",
        f"{real + synthetic:,} passes through the extractor {config.extractor}, {memory:,.0f} MB of memory for real "
        "pictures; a GPU helps",
    )
