"""A job's options as a command line has them."""

from types import ModuleType
from typing import Any

from cxr import cli


def parse_options(job: ModuleType, recipe: str = "tiny", **options: object) -> Any:
    """The `Args` of a job that was given these options, by their names in Python; None is as if not given."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    return cli.parse(job.Args, [recipe, *words])
