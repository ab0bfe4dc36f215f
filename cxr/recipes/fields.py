"""A recipe with other values for some of its fields."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cxr import cli
from cxr.diffusion.config import SamplerConfig

Config = TypeVar("Config", bound=BaseModel)


def replace_fields(config: Config, **fields: object) -> Config:
    """The configuration with other values for these fields, its own or its sampler's; checked like a new one.

    Raises:
        BadInput: a value is out of its range.
    """
    values = config.model_dump()
    sampler = values.get("sampler", {})
    of_sampler = SamplerConfig.model_fields if "sampler" in values else ()
    for name, value in fields.items():
        (sampler if name in of_sampler else values)[name] = value
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        raise cli.out_of_range(error) from None
