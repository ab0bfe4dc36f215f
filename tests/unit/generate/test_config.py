"""The recipe: what is out of range is refused, and its identity holds digests instead of places."""

import pytest
from pydantic import ValidationError

from cxr.artifact import recipe_digest
from cxr.diffusion.config import SamplerConfig
from cxr.generate.config import GenerateConfig, identity


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 0},
        {"size": 65},
        {"size": 4096},
        {"steps": 0},
        {"steps": -3},
        {"guidance": 0.5},
        {"guidance": float("nan")},
        {"guidance": float("inf")},
        {"batch": 0},
        {"batch": 1000},
        {"threads": 0},
        {"precision": "int8"},
        {"eta": 1.0},
    ],
)
def test_a_sampler_that_cannot_be_is_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        SamplerConfig(**fields)


@pytest.mark.parametrize(
    "fields", [{"per_finding": 0}, {"per_finding": 100_001}, {"seed": -1}, {"seed": 2**63}, {"layout": "zip"}, {"x": 1}]
)
def test_a_set_that_cannot_be_is_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        GenerateConfig(**fields)


def test_a_config_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        GenerateConfig().seed = 3


def test_a_unit_is_a_batch_or_a_shard() -> None:
    sampler = SamplerConfig(batch=5)
    assert GenerateConfig(sampler=sampler).unit_images == 5
    assert GenerateConfig(sampler=sampler, layout="shards").unit_images == 1000


def digest(config: GenerateConfig, model: str = "m", lora: str | None = None, plan: str = "p") -> str:
    return recipe_digest(identity(config, model, lora, plan))


def test_the_identity_forgets_where_the_weights_lay() -> None:
    here, there = GenerateConfig(model="/home/a/model"), GenerateConfig(model="s3://bucket/model")
    assert digest(here) == digest(there)
    assert "/home/a" not in str(identity(here, "m", None, "p"))


def test_the_identity_changes_with_all_that_changes_a_byte() -> None:
    config = GenerateConfig()
    others = [
        digest(config, model="n"),
        digest(config, lora="l"),
        digest(config, plan="q"),
        digest(config.model_copy(update={"seed": 1})),
        digest(config.model_copy(update={"layout": "shards"})),
        digest(config.model_copy(update={"sampler": SamplerConfig(steps=29)})),
    ]
    assert len({digest(config), *others}) == 1 + len(others)
